# frozen_string_literal: true

require "digest"
require "stringio"

module Longshore
  # An input, read once from its front to its end: a text of bytes, an IO, or what has each.
  class Source
    attr_reader :size

    def initialize(source, size)
      source = StringIO.new(source) if source.is_a?(String)
      @source, @size, @taken, @rest = source, size, 0, "".b
      @each = source.to_enum(:each) unless source.respond_to?(:read)
      @size ||= (source.size - source.pos).nonzero? if !@each && %i[size pos].all? { |m| source.respond_to?(m) }
    rescue Errno::ESPIPE # a pipe says that it can, and can't
      nil
    end

    # The next bytes; fewer at the end alone.
    def take(count)
      count = [count, @size - @taken].min if @size
      while @rest.bytesize < count && (part = Transport.theirs { more })
        @rest << part
      end
      if @size && @rest.bytesize < count
        short = @size - @taken - @rest.bytesize
        Transport.theirs { raise EOFError, "the input is #{short} bytes shorter than announced" }
      end
      @taken += [count, @rest.bytesize].min
      part, @rest = @rest.byteslice(0, count), @rest.byteslice(count..) || "".b
      part
    end

    # As net/http reads a stream.
    def read(count = nil, into = nil)
      part = take(count || 1 << 20)
      return if part.empty?
      into ? into.replace(part) : part
    end

    # Puts back what was taken first.
    def unread(part)
      @taken -= part.bytesize
      @rest = part + @rest
    end

    private

    def more
      return @source.read(1 << 20) unless @each
      part = @each.next
      raise TypeError, "the input must give strings, not #{part.class}" unless part.is_a?(String)
      part.b
    rescue StopIteration
      nil
    end
  end

  # Sends an input that has a size in pieces, by tus 1.0. After a cut it asks how far the server is.
  class Upload
    PIECE = 4 << 20 # kept until the server has it, so an input need not be rewound

    def initialize(transport, source, first)
      @transport, @source, @piece, @begins, @offset = transport, source, first, 0, 0
      @path, @patience = "/v1/uploads", Patience.new(transport)
    end

    # Returns the job's id; nil where the server takes no pieces. drop deletes what failed.
    def run(headers, drop:)
      id = head(call("POST", headers))["Longshore-Job"]
      @path += "/#{id}"
      pieces while @offset < @source.size
      id
    rescue StandardError => e
      return if e.is_a?(Refused) && e.status == 501 && id.nil?
      discard if drop && id # nobody could go on with it
      raise
    end

    private

    def pieces
      before, @offset = @offset, Integer(head(call("HEAD"))["Upload-Offset"])
      raise Foreign, "the upload's offset is none that was sent" unless @offset.between?(@begins, @source.size)
      @patience.reset if @offset > before # each piece that arrives begins it anew
      while @offset < @source.size
        while @offset >= @begins + @piece.bytesize
          @begins, @piece = @begins + @piece.bytesize, @source.take(PIECE)
        end
        patch = call("PATCH", { "Upload-Offset" => @offset.to_s, "Content-Type" => "application/offset+octet-stream" },
                     @piece.byteslice(@offset - @begins..))
        @offset = Integer(@transport.once(patch) { |answer| answer["Upload-Offset"] })
        @patience.reset
      end
    rescue Refused => e
      raise unless patch
      @patience.pause(e, patch)
    end

    def call(method, headers = {}, body = nil)
      Call.new(method: method, path: @path, headers: { "Tus-Resumable" => "1.0.0" }.merge(headers), body: body,
               known: method != "POST", resumes: true, timeout: body && 120)
    end

    def head(call) = @transport.exchange(call) { |answer| answer }

    def discard # if this fails it expires
      @transport.once(call("DELETE")) { nil }
    rescue Error
      nil
    end
  end

  # The bytes of a file. It goes on after a cut where it stopped; an end that comes too soon is an error, and so are
  # bytes that are not those which the server announced.
  class Download
    def initialize(transport, path)
      @transport, @path, @at, @digest, @patience = transport, path, 0, Digest::SHA256.new, Patience.new(transport)
    end

    def each(&part)
      begin
        resumes = @at.positive? ? { "Range" => "bytes=#{@at}-", "If-Range" => @tag } : {}
        call = Call.new(method: "GET", path: @path, headers: { "Accept" => "*/*" }.merge(resumes), download: true)
        @transport.once(call) { |answer| read(answer, &part) }
      rescue Refused => e
        raise if @at.positive? && !@tag # the file can't be known again
        @patience.pause(e, call)
        retry
      end
      return if @want.nil? || @want.unpack1("m") == @digest.digest
      raise DigestMismatch, "the file's digest does not match what was received"
    end

    private

    def read(answer)
      if @at.zero?
        @tag, @want = answer["ETag"], (answer["Repr-Digest"] || answer["Content-Digest"]).to_s[/sha-256=:([^:]+):/, 1]
        Transport.foreign(answer) if answer.content_type == "text/html" && !@tag && !@want
      elsif !answer["Content-Range"].to_s.start_with?("bytes #{@at}-")
        Transport.foreign(answer, ": the download broke off at byte #{@at} and can't be continued")
      end
      Transport.each_part(answer) do |part|
        @at += part.bytesize
        @digest << part
        @patience.reset
        Transport.theirs { yield part }
      end
    end
  end
end
