# frozen_string_literal: true

require "json"
require "net/http"
require "openssl"
require "time"
require "uri"

module Longshore
  # One request, which may be sent several times: method, path, query, headers; body is a text, or a stream, which goes
  # once; safe: a repeat does no harm; known: the server knows what is asked for, which is worth more patience; resumes:
  # of an upload in pieces; download: may be redirected elsewhere, without the token; until: of the monotonic clock, no
  # try begins later (TooLate).
  Call = Struct.new(:method, :path, :query, :headers, :body, :safe, :known, :resumes, :timeout, :download, :until,
                    keyword_init: true) do
    def initialize(query: {}, headers: {}, safe: true, **more) = super
  end

  # Makes requests of one server, each over a connection of its own, so threads and forks may share it.
  class Transport
    PASSING = [0, 429, 502, 503, 504].freeze
    RESUMABLE = [409, 423, 500, 507].freeze # of an upload in pieces: another request holds it, or there is no space now
    BROKEN = [SystemCallError, SocketError, IOError, Net::OpenTimeout, Net::ReadTimeout, Net::WriteTimeout,
              OpenSSL::SSL::SSLError, Net::ProtocolError, Net::HTTPBadResponse, Net::HTTPHeaderSyntaxError].freeze

    # The caller's time is over; the cause is the last error.
    class TooLate < StandardError; end

    # Keeps errors of the caller's block or input apart from those of the connection.
    class Theirs < StandardError; end

    attr_reader :base, :timeout, :retry_for, :on_retry

    def initialize(url, token, timeout, retry_for, on_retry)
      @base = URI.parse(url.chomp("/")) rescue nil
      unless @base.is_a?(URI::HTTP) && @base.hostname && !@base.userinfo # it may hold a password
        raise ArgumentError, "the URL must look like http://host:port or https://host", cause: nil
      end
      if token && !token.match?(/\A[\x20-\x7e]+\z/)
        raise ArgumentError, "the token must be printable ASCII, without a line end"
      end
      @token, @timeout, @retry_for, @on_retry = token, timeout, retry_for, on_retry
    end

    def inspect = "#<#{self.class} #{@base}>"

    # What the block makes of a success's answer (else its JSON), after as many tries as it takes.
    def exchange(call, &read)
      patience = Patience.new(self)
      begin
        once(call, &read)
      rescue Refused => e
        patience.pause(e, call)
        retry
      end
    end

    # One try. Reads are redirected within the origin; downloads elsewhere too, but then without the token, and never
    # from https to http.
    def once(call, &read)
      query = call.query.empty? ? "" : "?#{URI.encode_www_form(call.query)}"
      at = URI.parse("#{@base}#{call.path}#{query}")
      6.times do
        to = nil
        got = ask(call, at) do |response|
          status = response.code.to_i
          next (read ? read.call(response) : Transport.json(response)) if status < 300
          to = redirect(call, at, response)
          refuse(call, response, status) unless to
        end
        return got unless to
        at = to
      end
      raise Foreign, "the server redirects in a circle; check the URL"
    end

    # Gives the parts of a body. One that was cut is an error, not an end.
    def self.each_part(response)
      want, have = response.content_length, 0
      response.read_body do |part|
        have += part.bytesize
        yield part
      end
      raise EOFError, "the answer was cut" if want && have < want
    end

    def self.each_line(response)
      rest = +""
      each_part(response) do |part|
        *lines, rest = (rest << part).split("\n", -1)
        lines.each { |line| yield line.force_encoding("UTF-8").chomp("\r") }
      end
    end

    def self.theirs
      yield
    rescue StandardError
      raise Theirs
    end

    # Raises what the caller's block or input has raised.
    def self.unwrap
      yield
    rescue Theirs => e
      raise e.cause
    end

    def self.retry_after(response)
      text = response["Retry-After"].to_s
      seconds = text.match?(/\A\d+\z/) ? text.to_f : Time.httpdate(text) - Time.now
      seconds.clamp(0.0, 86_400.0)
    rescue ArgumentError
      0.0
    end

    def self.foreign(response, more = "")
      raise Foreign, "this is not Longshore's answer; check the URL (HTTP #{response.code}, " \
                     "#{response.content_type || "no content type"}#{more})"
    end

    def self.json(response)
      text = +""
      each_part(response) { |part| text << part }
      JSON.parse(response.content_type.to_s.end_with?("json") ? text.force_encoding("UTF-8") : "")
    rescue JSON::ParserError
      foreign(response)
    end

    private

    def ask(call, at)
      http = Net::HTTP.new(at.hostname, at.port)
      http.use_ssl = at.scheme == "https"
      http.max_retries = 0 # net/http would repeat a PUT with a stream that is empty by then
      http.open_timeout = 10
      http.read_timeout = http.write_timeout = call.timeout || @timeout
      http.continue_timeout = 2
      response = nil
      http.start { http.request(request(call, at)) { |answer| response = yield answer } }
      response
    rescue *BROKEN => e
      raise Refused.of({ "code" => "unavailable", "detail" => "#{at.hostname}:#{at.port}: #{e.message}" })
    end

    def request(call, at)
      headers = { "Accept" => "application/json, application/problem+json", "User-Agent" => "longshore-ruby",
                  "Accept-Encoding" => "identity", "Connection" => "close" }.merge(call.headers)
      headers["Authorization"] = "Bearer #{@token}" if @token && origin(at) == origin(@base)
      request = Net::HTTPGenericRequest.new(call.method, !call.body.nil?, call.method != "HEAD", at.request_uri,
                                            headers)
      case call.body
      when nil then request["Content-Length"] = "0" unless %w[GET HEAD].include?(call.method)
      when String then request.body = call.body
      else
        request.body_stream = call.body
        request["Transfer-Encoding"] = "chunked" unless request["Content-Length"]
      end
      # A refusal is read before the body goes: it costs no traffic, and is not lost with the connection.
      request["Expect"] = "100-continue" if request.body_stream || request.body.to_s.bytesize > 64 << 10
      request
    end

    def redirect(call, at, response)
      to = URI.join(at, response["Location"].to_s)
      inside = origin(to) == origin(@base) || call.download && ["https", at.scheme].include?(to.scheme)
      to if response.is_a?(Net::HTTPRedirection) && call.method == "GET" && inside
    rescue URI::Error
      nil
    end

    def refuse(call, response, status)
      problem = { "code" => "unavailable", "detail" => "HTTP #{status}, #{response.content_type}" }
      if response.content_type == "application/problem+json"
        problem = Transport.json(response) unless call.method == "HEAD" # its refusals have no body
      elsif !PASSING.include?(status) # of something in front of the server, that speaks for it
        to = ", redirects to #{response["Location"].to_s[/\A[^?#]*/]}" if status < 400
        Transport.foreign(response, to.to_s)
      end
      raise Refused.of(problem, status, Transport.retry_after(response))
    end

    def origin(uri) = [uri.scheme, uri.hostname, uri.port]
  end

  # Decides whether to try again, and when. A good answer resets it.
  class Patience
    def initialize(transport)
      @transport, @tries = transport, 0
    end

    def reset = @tries = 0

    # Returns when it is time for the next try, and raises the error if there is to be none.
    def pause(error, call)
      passes = Transport::PASSING.include?(error.status) || call.resumes && Transport::RESUMABLE.include?(error.status)
      once = !call.safe || !(call.body.nil? || call.body.is_a?(String))
      raise error if !passes || once || hopeless(error)
      @first = now if @tries.zero?
      wait = [4.0, 0.2 * 2**[@tries, 10].min].min * rand(0.5..1.0)
      wait = error.retry_after * rand(1.0..1.25) if error.retry_after.positive? # others were told the same
      raise Transport::TooLate if call.until && now + wait > call.until
      raise error if now + wait - @first > @transport.retry_for * (call.known ? 8 : 1)
      @tries += 1
      @transport.on_retry&.call(error, wait)
      sleep wait
    end

    private

    def hopeless(error) # the store's reset ends by an operator alone
      error.code == "store_reset" || error.cause.is_a?(OpenSSL::SSL::SSLError) ||
        error.cause.is_a?(SocketError) && error.cause.message.match?(/not known/)
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
