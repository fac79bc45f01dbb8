# frozen_string_literal: true

require "pathname"
require_relative "longshore_worker"

$stdout.sync = true
worker = Longshore::Worker.new(slots: 4, grace: ENV.fetch("GRACE", "20").to_f)
appears = ->(path) { sleep 0.02 until File.exist?(path) }

worker.on("rb.result") { |job| { twice: job.payload["n"] * 2, attempt: job.attempt } }
worker.on("rb.files") do |job|
  size = lines = 0
  job.input { |part| size, lines = size + part.bytesize, lines + part.count("\n") }
  job.output("count.txt", "#{lines} #{size}")
  job.output("copy.bin", job.input)
  File.write("part.tmp", "part")
  job.output("part.txt", Pathname("part.tmp"), type: "text/x-part")
  nil
end
worker.on("rb.talks") do |job|
  job.log("one")
  job.log("two")
  job.progress(3, 10, "page 3")
  appears.call(job.payload["until"])
  job.log("three")
  "told"
end
worker.on("rb.retries") { |job| job.attempt == 1 ? raise("not yet") : job.attempt }
worker.on("rb.fails") { raise Longshore::Worker::Fail, "never" }
worker.on("rb.later") do |job|
  next job.attempt if File.exist?(job.payload["flag"])
  File.write(job.payload["flag"], "")
  raise job.payload["how"] == "in" ? Longshore::Worker::RetryIn.new(0.1) : Longshore::Worker::Release
end
worker.on("rb.busy", fork: true) do |job|
  begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  n = 0
  loop do
    next if Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun < n / 20.0
    File.write(job.payload["beats"], (n += 1).to_s)
  end
end
worker.on("rb.apart", fork: true) do |job|
  job.log("from a child")
  job.output("copy.bin", job.input.read)
  Process.pid
end
worker.on("rb.waits") do |job|
  job.progress(1)
  sleep 0.02 until job.stop
  File.write(job.payload["told"], job.stop)
  raise "stopped"
end
worker.on("rb.slow") do |job|
  File.write("#{job.payload["until"]}.runs", "x", mode: "a")
  job.progress(1)
  appears.call(job.payload["until"])
  "whole"
end

worker.on("rb.holds") do |job|
  File.write("holds.runs", "x", mode: "a")
  ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + job.payload["seconds"]
  nil while Process.clock_gettime(Process::CLOCK_MONOTONIC) < ends
  job.attempt
end
worker.on("rb.odd") do |job|
  next "x" * 70_000 if job.payload["how"] == "large"
  next Float::NAN if job.payload["how"] == "noJSON"
  5001.times { |n| job.log("line #{n}") } && nil
end

puts "works"
worker.run
puts "ended"
