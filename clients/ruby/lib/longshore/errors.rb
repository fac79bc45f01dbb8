# frozen_string_literal: true

# What can go wrong. No text of these holds a token.
module Longshore
  # The base of all errors of this gem.
  class Error < StandardError; end

  # The server refused a request; code is stable. A server that can't be reached is refused too: code "unavailable",
  # status 0. problem is the whole answer, errors each wrong place of what was sent.
  class Refused < Error
    attr_reader :problem, :status, :retry_after, :code, :errors

    def initialize(problem, status = 0, retry_after = 0.0)
      @problem, @status, @retry_after = problem, status, retry_after
      @code, @errors = problem["code"].to_s, problem["errors"] || []
      places = @errors.map { |e| "#{e["pointer"]}: #{e["detail"]}" }.join("; ")
      super([places, problem["detail"], problem["title"], @code].find { |s| s && !s.empty? })
    end

    # The error of a status.
    def self.of(problem, status = 0, retry_after = 0.0)
      KINDS.fetch(status, Refused).new(problem, status, retry_after)
    end
  end

  class Invalid < Refused; end # what was asked for is wrong; see errors
  class NotFound < Refused; end # there is no such job, or type
  class Conflict < Refused; end # it can't be done as things are; code says why
  class Unauthorized < Refused; end # the token is wrong, or over
  class Forbidden < Refused; end # the token is not good for that
  class RateLimited < Refused; end # too many requests, or jobs that wait: retry_after is in seconds
  class Unavailable < Refused; end # the server can't do it now, or can't be reached
  class Foreign < Error; end # what answered is not Longshore; most often the URL is wrong
  class DigestMismatch < Error; end # a file arrived with other bytes than were sent

  KINDS = { 0 => Unavailable, 401 => Unauthorized, 403 => Forbidden, 404 => NotFound, 409 => Conflict, 410 => NotFound,
            412 => Conflict, 422 => Invalid, 423 => Conflict, 429 => RateLimited, 502 => Unavailable,
            503 => Unavailable, 504 => Unavailable }.freeze

  # The job has ended without success; job is its last snapshot.
  class JobFailed < Error
    attr_reader :job, :code

    def initialize(job)
      @job, @code = job, job.dig("error", "code") || job["state"]
      super(job.dig("error", "message") || "the job is #{job["state"]}")
    end
  end

  # The wait is over before the job has ended; job is as it was last seen.
  class WaitTimeout < Error
    attr_reader :job

    def initialize(job)
      @job = job
      super("the job is still #{job["state"]}")
    end
  end
end
