# frozen_string_literal: true

# Drives the Ruby client, installed from its gem: client.rb URL FAKE FILE. It says "restart" when the server may be
# killed, and at the end what came of all.

require "digest"
require "json"
require "longshore"

url, fake, name = ARGV
TOKEN = ENV.fetch("LONGSHORE_TOKEN")
Client = Longshore::Client

def check(what, condition) = condition || raise("not so: #{what}")

def raises(kind)
  yield
rescue kind => e
  text = "#{e.inspect} #{e.full_message} #{e.cause.inspect}"
  raise "it tells a secret: #{text}" if text.include?(TOKEN) || text.include?("geheim")
  e
else
  raise "raises no #{kind}"
end

# what is wrong before anything is sent; neither password nor token is repeated
raises(ArgumentError) { Client.new(url: "http://me:geheim@localhost") }
raises(ArgumentError) { Client.new(url: url, token: "geheim\n") }
check "inspect", !Client.new(url: url, token: TOKEN).inspect.include?(TOKEN)

# a server that does as it likes
villain = Client.new(url: fake, token: TOKEN, timeout: 20)
began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
check "one key", villain.submit("any.type", {})["keys"] == 1
check "Retry-After", Process.clock_gettime(Process::CLOCK_MONOTONIC) - began >= 1
quick = Client.new(url: fake, token: TOKEN, timeout: 0.3, retry_for: 0)
raises(Longshore::Unavailable) { quick.get("hangs") }
raises(Longshore::Unavailable) { quick.output("short") }
raises(Longshore::Unavailable) { quick.output("chunked") }
raises(Longshore::DigestMismatch) { villain.output("flipped") }
raises(Longshore::Foreign) { villain.get("page") }
raises(Longshore::Foreign) { villain.get("away") }
check "code", raises(Longshore::Error) { villain.get("teapot") }.code == "brewing"
check "resumed", villain.output("resumed") == "0123456789"
check "no token elsewhere", villain.output("away") == "token: none"
check "followed", villain.follow("held").map { |j| j["rev"] } == [1, 2]
check "a full disk is the caller's", raises(Errno::ENOSPC) { villain.output("away") { raise Errno::ENOSPC } }

# refusals are typed, and point to the place
client = Client.new(url: url, token: TOKEN, retry_for: 120) # the machine may be busy while the server comes back
none = "01a20967-50f3-73e0-89b5-4af387a3557a"
wrong = raises(Longshore::Invalid) { client.submit("math.primes", { n: "many" }) }
check "pointer", wrong.errors[0]["pointer"] == "/payload/n"
raises(Longshore::NotFound) { client.get(none) }
raises(Longshore::Unauthorized) { Client.new(url: url, token: "wrong" * 6).get(none) }
raises(JSON::GeneratorError) { client.submit("math.primes", { n: Float::NAN }) }
far = client.submit("math.primes", { n: 5 }, run_at: Time.now + 3600, labels: { of: "us" }, timeout: 90.0)
check "scheduled", far["state"] == "scheduled" && far["labels"] == { "of" => "us" }
check "wait", raises(Longshore::WaitTimeout) { client.wait(far["id"], timeout: 0.2) }.job["rev"] == far["rev"]
check "canceled", client.cancel(far["id"])["state"] == "canceled"
check "moved", client.wait(far["id"], after: far["rev"])["rev"] > far["rev"]
check "failed", raises(Longshore::JobFailed) { client.result(far["id"]) }.job["id"] == far["id"]

theirs = Longshore::Unavailable.new({ "code" => "unavailable" }) # from a block, not from the connection
one = [{ type: "math.primes", payload: { n: 3 } }]
check "theirs", raises(Longshore::Unavailable) { client.submit_many(one) { raise theirs } }.equal?(theirs)

# inputs: without a size, that end too soon, that fail, of the wrong kind
data = File.binread(name)
parts = lambda do |many, error = nil|
  Enumerator.new do |y|
    many.times { |i| y << data.byteslice(i * 100_000, 100_000) }
    raise error if error
  end
end
reader, writer = IO.pipe # has no size
feeder = Thread.new { writer.write(data) && writer.close }
File.open(name, "rb") do |file|
  [[data[0, 10], data[0, 10]], [parts[60], data[0, 6_000_000]], [reader, data], [file, data]].each do |source, want|
    job = client.upload("file.checksum", source, filename: "in.bin", labels: { of: "us" })
    check "sum", client.result(job["id"])["sha256"] == Digest::SHA256.hexdigest(want)
  end
end
feeder.join
[RuntimeError.new("mine"), Errno::ECONNRESET.new("mine")].each do |mine| # the second looks like the connection's
  [nil, data.bytesize].each do |size|
    check "mine", raises(mine.class) { client.upload("file.checksum", parts[60, mine], size: size) }.equal?(mine)
  end
end
raises(EOFError) { client.upload("file.checksum", parts[60], size: 7_000_000) }
client.request("GET", "/v1/jobs?state=uploading")["jobs"].each do |left|
  client.wait(left["id"], timeout: 60) # the server hears of each that nobody goes on with it
end
raises(TypeError) { client.upload("file.checksum", [1]) }
raises(Longshore::Invalid) { client.upload("no.such", parts[90]) }

# what a caller hands over stays as it is
raises(ArgumentError) { client.upload("file.checksum", "x", labels: { a: "x,b=y" }) }
check "kept", client.send(:json, { "payload" => 1.5, "hold" => nil, "timeout" => 2.5 }) == \
              '{"payload":1.5,"timeout":"2500ms"}'

# a crowd of jobs and an upload while connections break and the server is killed
$stdout.sync = true
puts "restart"
crowd = (0...700).lazy.map { |i| { type: "math.primes", payload: { n: i + 2 } } }
ids = client.submit_many(crowd).map { |one| one[:id] }
upload = File.open(name, "rb") { |file| client.upload("file.compress", file, { format: "gzip" }) }
revs = client.follow(upload["id"]).map { |j| j["rev"] }
check "revisions #{revs}", revs == revs.uniq.sort
ended = ids.first(30).map { |id| client.result(id) }
output = client.outputs(upload["id"])[0]
digest = Digest::SHA256.new
client.output(upload["id"], output["name"]) { |part| digest << part }
check "digest", digest.hexdigest == output["sha256"]

# ActiveJob
require "longshore/active_job"
ENV["LONGSHORE_URL"] = url
ActiveJob::Base.logger = nil
ActiveJob::Base.queue_adapter = :longshore
require_relative "greet"
greeted = Greet.perform_later("Ada", at: Time.at(1), how: :kindly)
check "in an hour", client.get(Greet.set(wait: 3600, priority: -1).perform_later("Bob").provider_job_id)
  .then { |j| [j["state"], j["priority"], j["labels"]] } == ["scheduled", "high", { "job" => "Greet" }]
check "output", client.wait(greeted.provider_job_id)["state"] == "succeeded" &&
                client.output(greeted.provider_job_id) == "Ada Time kindly #{greeted.provider_job_id}"
grumpy = Greet.new("nobody")
once = ActiveJob::QueueAdapters::LongshoreAdapter.new(client: client, controls: { max_attempts: 1 })
once.enqueue(grumpy)
failed = client.wait(grumpy.provider_job_id)
check "failed #{failed}", failed["error"]["message"].end_with?("ArgumentError: nobody to greet")
many = %w[a b].map { |who| Greet.new(who) }
many.each { |j| j.singleton_class.attr_accessor :successfully_enqueued, :enqueue_error } # of Rails 7.1
check "all", once.enqueue_all(many) == 2 && many.all?(&:successfully_enqueued)
check "theirs", client.output(client.wait(many[1].provider_job_id)["id"]).start_with?("b ")
raises(Longshore::Invalid) do
  ActiveJob::QueueAdapters::LongshoreAdapter.new(client: client, type: "no.such").enqueue(Greet.new("x"))
end

# what docs/ruby.md says, but for the function, which the test has in its own way
Dir.chdir(ENV.fetch("DOCS_DIR"))
File.symlink(name, "access.log")
documented = File.read("ruby.md").scan(/^```ruby\n(.*?)^```$/m).flatten
eval("$stdout = StringIO.new\n" + documented[0, 3].join, TOPLEVEL_BINDING.dup, "ruby.md") # rubocop:disable all
$stdout = STDOUT
check "documented", documented.size == 4 && documented[3].include?("LongshoreAdapter.run")
check "the download", Dir["*"].any? { |f| f != "access.log" && File.size(f) > 9_000_000 }

puts JSON.generate({ jobs: ids.uniq.size, ended: ended.size, size: output["size"] })
