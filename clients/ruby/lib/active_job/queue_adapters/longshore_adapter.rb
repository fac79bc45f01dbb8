# frozen_string_literal: true

require "active_job"
require "longshore"

module ActiveJob
  module QueueAdapters
    # Puts jobs of ActiveJob, 6.1 to 8, into Longshore:
    #
    #   config.active_job.queue_adapter = :longshore # LONGSHORE_URL, LONGSHORE_TOKEN, LONGSHORE_TYPE
    #   config.active_job.queue_adapter = ActiveJob::QueueAdapters::LongshoreAdapter.new(
    #     client: Longshore::Client.new(url: "…"), types: { "mailers" => "rails.mail" })
    #
    # A queue that types names is a type of Longshore's; all others are of one type, and queues there too where their names
    # fit (a-z, 0-9 and dashes, at most 32), so that workers can serve them apart. The payload is what ActiveJob's serialize
    # gives, and a function that calls LongshoreAdapter.run executes it. Attempts are Longshore's: controls has
    # max_attempts, timeout and whatever else a submission takes.
    class LongshoreAdapter < (defined?(AbstractAdapter) ? AbstractAdapter : Object)
      def initialize(client: nil, type: ENV.fetch("LONGSHORE_TYPE", "rails.job"), types: {}, controls: {})
        super()
        @client = client || Longshore::Client.new(url: ENV.fetch("LONGSHORE_URL", "http://127.0.0.1:8080"),
                                                  token: ENV["LONGSHORE_TOKEN"])
        @type, @types, @controls = type, types.transform_keys(&:to_s), controls
      end

      # Rails 7.2 asks: a job must not be run before what it is about is committed.
      def enqueue_after_transaction_commit? = true

      def enqueue(job) = enqueue_at(job, nil)

      def enqueue_at(job, timestamp)
        submission = submission(job, timestamp)
        type, payload = submission.values_at(:type, :payload)
        taken = @client.submit(type, payload, **submission.except(:type, :payload))
        job.provider_job_id = taken["id"]
      end

      # For perform_all_later, of Rails 7.1 and later.
      def enqueue_all(jobs)
        submissions = jobs.lazy.map { |job| submission(job, job.scheduled_at&.to_f) }
        @client.submit_many(submissions).count do |told|
          job = jobs[told[:index]]
          job.successfully_enqueued = told[:error].nil?
          job.enqueue_error = EnqueueError.new(told[:error].message) if told[:error]
          job.provider_job_id = told[:id]
        end
      end

      # Executes the job of this process: the main program of a function. A failure is an attempt of Longshore's.
      def self.run
        data = JSON.parse(File.read(ENV.fetch("LONGSHORE_PAYLOAD")))
        Base.execute(data.merge("provider_job_id" => ENV["LONGSHORE_JOB"]))
      rescue StandardError => e
        warn e.full_message(highlight: false), "#{e.class}: #{e.message.lines.first}"
        exit 1
      end

      private

      def submission(job, timestamp)
        { type: @types.fetch(job.queue_name.to_s, @type), payload: job.serialize, queue: queue(job.queue_name.to_s),
          priority: priority(job.priority),
          run_at: timestamp && Time.at(timestamp), labels: { "job" => job.class.name.to_s[-64..] || job.class.name },
          **@controls }.compact
      end

      def queue(name)
        name if name != "default" && !@types.key?(name) && name.match?(/\A[a-z0-9][a-z0-9-]{0,31}\z/)
      end

      # As in other adapters a smaller number is more urgent, and 0 and none are what most jobs have.
      def priority(number)
        return if number.nil? || number.zero?
        number.negative? ? "high" : "low"
      end
    end
  end
end
