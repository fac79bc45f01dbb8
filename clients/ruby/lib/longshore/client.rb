# frozen_string_literal: true

require "securerandom"

module Longshore
  # A client of one Longshore. Threads may share it. Jobs are hashes, as the server's JSON has them.
  class Client
    POLL, HEARTBEAT = 25.0, 40.0 # seconds: what one long-poll waits; how long a stream may be silent
    LINES, BYTES = 500, 4 << 20 # of a request of submit_many

    # timeout is how many seconds a connection may bring nothing; retry_for for how many a request is repeated where
    # that does no harm, and eight times as many for a job that was seen.
    def initialize(url: "http://127.0.0.1:8080", token: nil, timeout: 30.0, retry_for: 15.0, on_retry: nil)
      @transport = Transport.new(url, token, timeout, retry_for, on_retry)
    end

    def inspect = "#<#{self.class} #{@transport.base}>"

    # Submits a job without a file. Whatever happens on the way, it becomes one job.
    def submit(type, payload = nil, input: nil, id: nil, idempotency_key: nil, **controls)
      body = { "type" => type, "payload" => payload, "input" => input, **controls }
      act("/v1/jobs", json(body), drawn(id, idempotency_key))
    end

    # Uploads the input of a job, and returns the job once the server has all of it. What has a size goes in pieces,
    # through cuts and restarts; an IO or an enumerable without one, if it is long, in one request.
    def upload(type, source, payload = nil, size: nil, filename: nil, content_type: "application/octet-stream", id: nil,
               idempotency_key: nil, **controls)
      text = payload && JSON.generate(payload)
      words = { "payload" => text, "filename" => filename, **controls }.compact.to_h { |k, v| [k.to_s, word(v)] }
      told = { "type" => type, "filetype" => content_type }.merge(words)
      coded = told.map { |k, v| "#{k} #{[v].pack("m0")}" }.join(",")
      headers = drawn(id, idempotency_key)
      Transport.unwrap do
        source = Source.new(source, size)
        first = source.take(Upload::PIECE)
        if (long = first.bytesize == Upload::PIECE) && source.size && coded.bytesize < 6 << 10
          length = { "Upload-Length" => source.size.to_s, "Upload-Metadata" => coded }
          made = Upload.new(@transport, source, first).run(headers.merge(length), drop: !(id || idempotency_key))
          return act(at(made), method: "GET", known: true) if made
        end
        headers["Content-Length"] = source.size.to_s if long && source.size
        source.unread(first) if long
        headers["Content-Type"] = content_type
        @transport.exchange(Call.new(method: "POST", path: "/v1/jobs/#{escape(type)}", query: words, timeout: 120,
                                     headers: headers, body: long ? source : first))
      end
    end

    # Submits many jobs, hashes with type, payload and controls, some hundred a request, and gives what became of each:
    # {index:, id:, created:} or {index:, error:}. What has no answer yet is sent again under its key, and so is what
    # the server can't take for the moment.
    def submit_many(submissions, &told)
      return enum_for(:submit_many, submissions) unless told
      lines, first, size = [], 0, 0
      submissions.each do |s|
        s = s.transform_keys(&:to_sym)
        s[:idempotency_key] ||= SecureRandom.uuid unless s[:id]
        lines << json(s)
        size += lines.last.bytesize
        next if lines.size < LINES && size < BYTES
        Transport.unwrap { group(lines, first, &told) }
        lines, first, size = [], first + lines.size, 0
      end
      Transport.unwrap { group(lines, first, &told) }
    end

    def get(id) = act(at(id), method: "GET")

    # Asks for a job's end. A second time, or after the end, it does nothing.
    def cancel(id) = act(at(id, "/cancel"))

    # Any other request of the API, JSON both ways. A POST is sent once: a repeat might do it twice.
    def request(method, path, body = nil)
      act(path, body && JSON.generate(body), method: method, safe: method != "POST")
    end

    # The job once it has ended or, with after, once its revision is another; through restarts of the server. timeout is
    # in seconds; WaitTimeout holds the job as it was last seen.
    def wait(id, after: nil, timeout: nil)
      ends, job = timeout && now + timeout, nil
      loop do
        asked = now
        left = ends ? (ends - asked).clamp(0, POLL) : POLL
        query = { "wait" => "#{(left * 1000).to_i}ms", **(after ? { "after" => after } : { "until" => "done" }) }
        later = 0
        call = Call.new(method: "GET", path: at(id), query: query, known: !job.nil?, timeout: left + @transport.timeout,
                        until: ends)
        begin
          job = @transport.exchange(call) do |answer|
            later = Transport.retry_after(answer)
            Transport.json(answer)
          end
        rescue Transport::TooLate => e
          raise job ? WaitTimeout.new(job) : e.cause
        end
        return job if job["done"] || after && job["rev"] != after
        raise WaitTimeout, job if ends && now >= ends
        next unless later.positive? || now - asked < 1 # else it did not wait: too many do, or a proxy cut it short
        pause = later.positive? ? later : 0.5
        sleep(ends ? [pause, [ends - now, 0].max].min : pause)
      end
    end

    # Gives the job after each change, the last time at its end, which it returns. It reads a stream of events; where
    # none comes through it asks by long-poll. The revision is the cursor, so the end is never missed.
    def follow(id, after: nil, &seen)
      return enum_for(:follow, id, after: after) unless seen
      rev, silent = after, 0
      tell = lambda do |job|
        Transport.theirs { seen.call(job) } if job["rev"] != rev
        rev = job["rev"]
        job["done"]
      end
      Transport.unwrap do
        loop do # after each stream comes a plain look, which tells what is wrong, if anything is
          job = rev && silent >= 3 ? wait(id, after: rev) : act(at(id), method: "GET", known: !rev.nil?)
          return job if tell.call(job)
          next if silent >= 3
          before, begun, pause = rev, now, 0
          begin
            pause = events(id, rev) { |event| return event if tell.call(event) }
          rescue Foreign, Refused => e
            silent = 3 unless e.is_a?(Refused) && Transport::PASSING.include?(e.status)
          end
          silent = rev != before || now - begun > HEARTBEAT / 2 ? 0 : silent + 1 if silent < 3
          sleep pause
        end
      end
    end

    # Waits for the end and returns the result; raises JobFailed where there is none.
    def result(id, timeout: nil) = succeeded(id, timeout)["result"]

    # Waits for the end and returns what the job has made; raises JobFailed.
    def outputs(id, timeout: nil) = succeeded(id, timeout)["outputs"] || []

    # Gives the bytes of an output of a job that has ended, part by part; without a name of its only one, or of its
    # result as JSON. Without a block it returns them as one.
    def output(id, name = nil, &part)
      whole = part ? nil : "".b
      part ||= ->(bytes) { whole << bytes }
      Transport.unwrap { Download.new(@transport, at(id, name ? "/outputs/#{escape(name)}" : "/result")).each(&part) }
      whole
    end

    private

    def succeeded(id, timeout)
      job = wait(id, timeout: timeout)
      job["state"] == "succeeded" ? job : raise(JobFailed, job)
    end

    def group(lines, first)
      waiting, patience = lines.each_index.to_a, Patience.new(@transport)
      until waiting.empty?
        sent, failure = waiting.dup, Refused.of({ "code" => "unavailable", "detail" => "not all lines were answered" })
        kinds = { "Content-Type" => "application/x-ndjson",
                  "Accept" => "application/x-ndjson, application/problem+json" }
        call = Call.new(method: "POST", path: "/v1/jobs/batch", headers: kinds, timeout: 60,
                        body: sent.map { |i| lines[i] + "\n" }.join)
        begin
          @transport.once(call) do |answer|
            Transport.each_line(answer) do |line|
              told = JSON.parse(line)
              i = sent.fetch(told.fetch("line") - 1)
              error = told["code"] && Refused.of(told, told["status"], told["retry_after"].to_f)
              next failure = error if error && Transport::PASSING.include?(error.status) && error.code != "store_reset"
              waiting.delete(i)
              patience.reset
              answered = error ? { error: error } : { id: told["id"], created: told["created"] || false }
              Transport.theirs { yield({ index: first + i, **answered }) }
            end
          rescue JSON::ParserError, IndexError
            Transport.foreign(answer, ", lines of a batch")
          end
        rescue Refused => e
          failure = e
        end
        patience.pause(failure, call) unless waiting.empty?
      end
    end

    # Gives the states of a stream of events, and returns when the server wants to be asked again, in seconds.
    def events(id, rev)
      call = Call.new(method: "GET", path: at(id, "/events"), query: { "after" => rev }, timeout: HEARTBEAT,
                      headers: { "Accept" => "text/event-stream", "Last-Event-ID" => rev.to_s })
      @transport.once(call) do |answer|
        Transport.foreign(answer) unless answer.code == "204" || answer.content_type == "text/event-stream"
        event, pause = Hash.new(""), 0
        Transport.each_line(answer) do |line|
          field, value = line.split(":", 2)
          next event[field] += value.to_s.strip if field # lines of JSON may be joined
          pause = event["retry"].to_i / 1000.0 if event.key?("retry")
          yield JSON.parse(event["data"]) if event["event"] == "state"
          event.clear
        rescue JSON::ParserError
          Transport.foreign(answer)
        end
        pause
      end
    end

    def act(path, body = nil, headers = {}, method: "POST", **more)
      headers = headers.merge("Content-Type" => "application/json") if body
      @transport.exchange(Call.new(method: method, path: path, headers: headers, body: body, **more))
    end

    def at(id, rest = "") = "/v1/jobs/#{escape(id)}#{rest}"

    def escape(text) = URI.encode_www_form_component(text).gsub("+", "%20")

    # What makes a repeat harmless: the job's id, or a key that is drawn once for all tries.
    def drawn(id, key) = id ? { "Longshore-Job" => id } : { "Idempotency-Key" => key || SecureRandom.uuid }

    # A time or a duration as the server reads it; all else as it is.
    def plain(value)
      case value
      when Time, DateTime then value.to_time.utc.iso8601(3)
      when Float, Rational then "#{(value * 1000).round}ms"
      else value.class.name == "ActiveSupport::Duration" ? plain(value.to_f) : value
      end
    end

    def json(words)
      JSON.generate(words.compact.to_h { |k, v| [k, %w[payload input].include?(k.to_s) ? v : plain(v)] })
    end

    # A control as a parameter beside a file.
    def word(value)
      value = value.map { |pair| Array(pair).join("=") } if value.is_a?(Hash)
      return plain(value).to_s unless value.is_a?(Array)
      if value.any? { |one| one.to_s.include?(",") }
        raise ArgumentError, "a comma can't stand in a list or in labels beside a file"
      end
      value.join(",")
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
