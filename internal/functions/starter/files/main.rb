# A function: reads a payload, says how far it is, prints its result.
require "json"

payload = JSON.parse(File.read(ENV.fetch("LONGSHORE_PAYLOAD")))
name = payload.fetch("name", "world")

# What is written to stderr is the job's log.
warn "greeting #{name}"

# Lines of JSON in this file tell progress and more (docs/functions.md).
File.open(ENV.fetch("LONGSHORE_CONTROL"), "a") do |control|
  control.puts JSON.generate(progress: { done: 1, total: 1, note: "greeted" })
end

# Files in LONGSHORE_OUT become the job's outputs.
File.write(File.join(ENV.fetch("LONGSHORE_OUT"), "greeting.txt"), "Hello, #{name}!\n")

# One JSON value on stdout is the result. Exit 65 fails for good, any other but 0 is retried.
puts JSON.generate(greeting: "Hello, #{name}!")
