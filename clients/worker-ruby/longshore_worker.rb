# frozen_string_literal: true

# Runs jobs of Longshore in this process, over HTTP: docs/workers.md. Ruby 3.0 and later, nothing else.
require "erb"
require "json"
require "monitor"
require "net/http"
require "openssl"
require "pathname"
require "securerandom"
require "socket"
require "tempfile"
require "uri"

module Longshore
  # A process that claims jobs. Leases are kept by a thread: Ruby's threads take turns even where one of them computes.
  class Worker
    KEEP = 56 << 10 # bytes of lines that wait; a request may have 128 KiB
    BROKEN = [SystemCallError, SocketError, IOError, Timeout::Error, OpenSSL::SSL::SSLError, Net::ProtocolError,
              Net::HTTPBadResponse, Net::HTTPHeaderSyntaxError, JSON::ParserError].freeze

    # Ends the job: another attempt would not help.
    class Fail < StandardError; end

    # Somebody else is to run the job; it consumes no attempt.
    class Release < StandardError; end

    # Runs the job again after so many seconds; it consumes no attempt.
    class RetryIn < StandardError
      attr_reader :seconds

      def initialize(seconds)
        super("again in #{seconds} s")
        @seconds = seconds
      end
    end

    # An answer that is no success.
    class Refused < StandardError
      attr_reader :status, :code, :detail

      def initialize(status, problem)
        @status, @code = status, problem["code"]
        wrong = problem["errors"].to_a.map { |one| "#{one["pointer"]} #{one["detail"]}" }
        @detail = [problem["detail"] || "HTTP #{status}", *wrong].join("; ")
        super("#{@code || "HTTP"} (#{status}): #{@detail}")
      end

      def passes? = status >= 500 || [408, 429].include?(status)
    end

    # Makes requests. A redirect is an error: the token is for this host.
    class Api
      def initialize(url, token) = (@url, @token = url.chomp("/"), token)
      def inspect = "#<#{self.class} #{@url}>"

      # One request; a block gets the body's parts, else they come back as one text. opened gets the connection.
      def open(method, path, body: nil, headers: {}, timeout: 40, opened: nil)
        uri = URI.parse(@url + path)
        http = Net::HTTP.new(uri.hostname, uri.port)
        http.use_ssl = uri.scheme == "https"
        http.max_retries = 0 # it would repeat a PUT with a stream that is empty by then
        http.open_timeout, http.read_timeout, http.write_timeout, http.continue_timeout = 10, timeout, timeout, 2
        request = build(method, uri, body, headers)
        http.start do
          opened&.call(http)
          http.request(request) do |answer|
            text, have = +"", 0
            good = answer.is_a?(Net::HTTPSuccess)
            answer.read_body { |part| have += part.bytesize; good && block_given? ? yield(part) : text << part }
            raise EOFError, "the answer was cut" if have < answer.content_length.to_i # net/http takes that for its end
            raise Refused.new(answer.code.to_i, parse(text)) unless good
            return text.force_encoding("UTF-8")
          end
        end
      end

      # body may be a function of the number of the try. What may pass is sent again.
      def send(method, path, body = nil, patience: 60, **more)
        begun, try = Worker.now, 0
        begin
          try += 1
          text = open(method, path, body: body.respond_to?(:call) ? body.call(try) : body, **more)
          told = text.empty? ? {} : JSON.parse(text)
          problem = told["jobs"]&.filter_map { |one| one["problem"] }&.find { |one| one["status"] >= 500 }
          raise Refused.new(problem["status"], problem) if problem
          told
        rescue Refused, *BROKEN => e
          raise if e.is_a?(Refused) && !e.passes? || Worker.now - begun > patience
          sleep [5, 0.2 * 2**(try - 1)].min * rand(0.5..1.0)
          retry
        end
      end

      private

      def build(method, uri, body, headers)
        headers = { "Accept-Encoding" => "identity", "Connection" => "close", "User-Agent" => "longshore-worker",
                    **headers }
        headers["Authorization"] = "Bearer #{@token}" if @token && !@token.empty?
        body, headers["Content-Type"] = JSON.generate(body), "application/json" if body.is_a?(Hash)
        Net::HTTPGenericRequest.new(method, !body.nil?, true, uri.request_uri, headers).tap do |request|
          body.respond_to?(:read) ? request.body_stream = body : request.body = body
        end
      end

      def parse(text)
        told = JSON.parse(text)
        told.is_a?(Hash) ? told : {}
      rescue JSON::ParserError
        {}
      end
    end

    # What a handler gets. stop is nil, or why it is to end: canceled, timeout, drain, lost.
    class Job
      attr_reader :id, :claim, :type, :attempt, :payload, :input_info, :after, :outputs, :stop
      attr_accessor :ends, :pid, :pipe, :over, :said, :from, :lines, :size, :told

      def initialize(told, api, &say)
        @id, @claim, @type, @attempt = told.values_at("id", "claim", "type", "attempt")
        @payload, @input_info, @after = told["payload"], told["input"], told["after"] || []
        @api, @say, @outputs, @from, @lines, @size = api, say, {}, 1, [], 2
      end

      def inspect = "#<#{self.class} #{@id} #{@type}>"
      def saying(&say) = @say = say
      def log(line) = @say.call({ "line" => Worker.clean(line, 4096) })

      def progress(done, total = 0, note = "")
        @say.call({ "progress" => { "done" => done.to_i, "total" => total.to_i, "note" => Worker.clean(note, 200) } })
      end

      # Gives the input's parts as they come, or without a block all of it as a file that is open for reading.
      def input(&each)
        return @api.open("GET", "#{path}/input", headers: { "Longshore-Claim" => @claim }, &each) && nil if each
        Tempfile.new("longshore", binmode: true).tap { |file| input { |part| file << part } && nil; file.rewind }
      end

      # source: a string of bytes, a Pathname, or an IO that is open for reading.
      def output(name, source, type: "application/octet-stream")
        return File.open(source, "rb") { |file| output(name, file, type: type) } if source.is_a?(Pathname)
        Tempfile.create("longshore", binmode: true) do |file| # so that it can be sent again
          source.respond_to?(:read) ? IO.copy_stream(source, file) : file << source
          file.flush
          headers = { "Longshore-Claim" => @claim, "Content-Length" => file.size.to_s, "Content-Type" => type }
          headers["Expect"] = "100-continue" if file.size > 64 << 10 # a refusal is read before the body goes
          again = ->(_) { file.tap(&:rewind) }
          to = "#{path}/outputs/#{ERB::Util.url_encode(name)}"
          @outputs[name] = @api.send("PUT", to, again, headers: headers, timeout: 120)["size"]
        end
      end

      def halt(reason)
        @stop ||= reason
        pid && reason != "drain" ? Process.kill(:KILL, pid) : pipe&.puts(reason)
      rescue SystemCallError, IOError
        nil # it has ended
      end

      private

      def path = "/v1/jobs/#{@id}/claim"
    end

    def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    def self.clean(text, most) = text.to_s.dup.force_encoding("UTF-8").scrub.byteslice(0, most).scrub("")

    # types: names or globs to ask for, instead of the handlers' names.
    def initialize(url: ENV.fetch("LONGSHORE_URL"), token: ENV.fetch("LONGSHORE_TOKEN", nil), types: nil, queues: [],
                   slots: 1, grace: 20)
      @api, @types, @queues, @slots, @grace = Api.new(url, token), types, queues, [slots, 100].min, grace
      @name = "#{Socket.gethostname[0, 60]}:#{Process.pid}:#{SecureRandom.hex(4)}"
      @handlers, @jobs, @lock, @news = {}, {}, Monitor.new, Queue.new
      @freed = @lock.new_cond
    end

    # Runs jobs of a type. fork: in a process of its own, which a stop kills.
    def on(type, fork: false, &handler) = @handlers[type] = [handler, fork]

    # Takes no more jobs; run ends once those that there are have ended, or the grace is over.
    def stop
      return if @stopped
      @stopped = Worker.now
      Thread.new { try("stop", { "worker" => @name }, 10) }
    end

    # Runs jobs until stop, SIGTERM or SIGINT; a second signal ends the process at once.
    def run
      main = Process.pid
      old = %w[TERM INT].to_h { |name| [name, trap(name) { signal(name) if Process.pid == main }] }
      threads = [Thread.new { renew }, Thread.new { cut }]
      claims = Thread.new { claim }
      claims.report_on_exception = false
      until @stopped && (Worker.now > @stopped + @grace || !claims.alive? && @jobs.empty?)
        @jobs.values.each { |job| job.halt("timeout") if Worker.now > job.ends }
        stop unless claims.alive?
        sleep 0.05
      end
      release(@jobs.values)
      threads.each(&:kill)
      claims.alive? ? claims.kill : claims.join # raises what it was refused by
    ensure
      old&.each { |name, was| trap(name, was || "DEFAULT") }
    end

    private

    def signal(name)
      return stop unless @stopped
      @jobs.each_value { |job| Process.kill(:KILL, job.pid) if job.pid }
      exit!(128 + Signal.list[name])
    end

    def release(left)
      left.each { |job| job.halt("drain") }
      until_then = Worker.now + 2
      sleep 0.02 while @jobs.any? && Worker.now < until_then
      left.each { |job| Process.kill(:KILL, job.pid) rescue nil if job.pid && !job.over }
      left.map { |job| Thread.new { finish(job, { "release" => true }) } }.each { |thread| thread.join(5) }
    end

    def try(what, body, patience = 60)
      @api.send("POST", "/v1/claims/#{what}", body, patience: patience)
    rescue Refused, *BROKEN => e
      warn "longshore: #{what}: #{e.message}"
      e
    end

    def claim
      until @stopped
        free = @lock.synchronize { (@slots - @jobs.size).tap { |n| @freed.wait(1) if n <= 0 } }
        next if free <= 0
        ask = { "types" => @types || @handlers.keys, "queues" => @queues, "wait" => "25s", "n" => free,
                "key" => SecureRandom.urlsafe_base64(16), "worker" => @name }
        asked = nil
        begin
          told = @api.send("POST", "/v1/claims", ->(n) { asked = Worker.now; ask.merge("try" => n) })
        rescue Refused, *BROKEN => e
          raise if e.is_a?(Refused) && !e.passes? && e.code != "lost"
          warn "longshore: claim: #{e.message}"
          next
        end
        told["jobs"]&.each { |one| start(one, asked) }
      end
    end

    def start(told, asked)
      job = Job.new(told, @api)
      job.saying { |message| say(job, message) }
      job.ends = asked + told["timeout_ms"] / 1000.0
      @lock.synchronize { @jobs[job.claim] = job }
      say(job, {})
      Thread.new { finish(job, attempt(job)) }
    end

    def say(job, message)
      @lock.synchronize do
        job.told = message["progress"] || job.told
        (job.lines << message["line"]) && job.size += message["line"].to_json.bytesize + 1 if message["line"]
        drop(job, job.from + 1) while job.size > KEEP || job.lines.size > 1000
        @fresh = true
      end
      @news << true
    end

    def drop(job, upto)
      while job.from < upto && job.lines.any?
        job.size -= job.lines.shift.to_json.bytesize + 1
        job.from += 1
      end
    end

    # A renewal that is parked knows nothing of what is new.
    def cut
      loop do
        @news.pop
        sleep 0.3
        @news.clear
        @lock.synchronize { @parked.finish if @fresh && @parked } rescue IOError
      end
    end

    # Keeps the leases, by one request at a time that waits for a stop.
    def renew
      pause = 0.2
      loop do
        sent = @lock.synchronize { asking }
        next sleep(0.1) if sent.empty? # what wakes the other thread is not for this one
        begin
          body = { "worker" => @name, "wait" => "8s", "jobs" => sent.map(&:last) }
          text = @api.open("POST", "/v1/claims/renew", body: body, timeout: 15, opened: ->(http) { @parked = http })
          told = JSON.parse(text)["jobs"]
          pause = 0.2
        rescue Refused, *BROKEN => e
          told = e.is_a?(Refused) && !e.passes? ? sent.map { {} } : [] # it dislikes what was said: drop that
          sleep(pause) && pause = [5, pause * 2].min if !@fresh || told.any?
        end
        @parked = nil
        @lock.synchronize do
          sent.zip(told).each { |(job, upto, progress), one| heard(job, upto, progress, one["stop"]) if one }
        end
        sleep pause if told.any? { |one| one["stop"] }
      end
    end

    def asking
      @fresh, room = false, KEEP
      @jobs.values.reject(&:said).first(100).map do |job|
        n = job.size <= room ? job.lines.size : 0
        room -= job.size if n.positive?
        @fresh = true if n < job.lines.size
        log = n.positive? ? { "from" => job.from, "lines" => job.lines.first(n) } : nil
        ask = { "id" => job.id, "claim" => job.claim, "progress" => job.told, "log" => log }
        [job, job.from + n, job.told, ask.compact]
      end
    end

    def heard(job, upto, progress, stopped)
      drop(job, upto)
      job.told = nil if job.told.equal?(progress)
      return stop if stopped == "drain"
      return unless stopped
      job.said = true # and renewed no more
      job.halt(stopped)
    end

    def attempt(job)
      handler, apart = @handlers[job.type]
      return { "release" => true } unless handler
      apart ? child(job, handler) : outcome(job, handler)
    end

    def outcome(job, handler)
      result = handler.call(job)
      JSON.generate(result) # what is no JSON is the handler's error
      { "result" => result, "outputs" => job.outputs.map { |name, size| { "name" => name, "size" => size } } }
    rescue Fail => e
      { "fail" => { "message" => Worker.clean(e.message, 8000) } }
    rescue RetryIn => e
      { "retry_in" => "#{[1, (e.seconds * 1000).to_i].max}ms" }
    rescue Release
      { "release" => true }
    rescue Exception => e # rubocop:disable Lint/RescueException -- whatever it is, the job is told
      warn "job #{job.id} (#{job.type}): attempt #{job.attempt} failed: #{e.full_message(highlight: false)}"
      code = e.is_a?(NoMemoryError) ? "out_of_memory" : "handler_error"
      { "error" => { "message" => Worker.clean("#{e.class}: #{e.message}", 8000), "code" => code } }
    end

    # Runs a handler in a process of its own. It ends with its parent, whose end of a pipe it reads.
    def child(job, handler)
      said, orders = nil
      @lock.synchronize do # else another child holds this one's pipes open
        said, says = IO.pipe
        hears, orders = IO.pipe
        pid = fork do
          [said, orders].each(&:close)
          %w[TERM INT].each { |name| trap(name) { nil } } # the parent sees to them
          Thread.new { (reason = hears.gets) ? job.halt(reason.chomp) : exit!(1) }
          lock = Mutex.new
          job.saying { |message| lock.synchronize { says.puts(JSON.generate(message)) || says.flush } }
          says.puts(JSON.generate({ "end" => outcome(job, handler) }))
        ensure
          [says, $stdout, $stderr].each(&:flush) rescue nil
          exit!(0)
        end
        [says, hears].each(&:close)
        job.pipe, job.pid = orders, pid
        orders.sync = true
      end
      job.halt(job.stop) if job.stop
      while (line = said.gets)
        message = JSON.parse(line)
        return message["end"] if message["end"]
        say(job, message)
      end
      { "error" => { "message" => "the handler's process has ended", "code" => "crashed" } }
    ensure
      pid, job.pid = job.pid, nil
      Process.kill(:KILL, pid) && Process.wait(pid) if pid
      [said, orders].each { |io| io&.close }
    end

    def finish(job, ending)
      return if @lock.synchronize { job.over.tap { job.over = true } }
      ending = { "error" => { "message" => "canceled" } } if job.stop == "canceled"
      ending = { "release" => true } if job.stop == "drain" && ending["error"]
      tell(job, ending) unless %w[timeout lost].include?(job.stop)
    ensure
      @lock.synchronize { @jobs.delete(job.claim) && @freed.broadcast } if ending
    end

    def tell(job, ending)
      said = { "id" => job.id, "claim" => job.claim }
      log = @lock.synchronize { { "from" => job.from, "lines" => job.lines.dup } }
      told = try("finish", { "jobs" => [{ **said, **ending, **(log["lines"].any? ? { "log" => log } : {}) }] })
      problem = told.is_a?(Hash) && told["jobs"][0]["problem"]
      told = Refused.new(problem["status"], problem) if problem
      return if !told.is_a?(Refused) || ending["error"] || %w[lost already_finished].include?(told.code)
      try("finish", { "jobs" => [{ **said, "error" => { "message" => told.detail } }] })
    end
  end
end
