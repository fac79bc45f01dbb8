# frozen_string_literal: true

# A job of a Rails app.
class Greet < ActiveJob::Base
  def perform(who, at: nil, how: nil)
    raise ArgumentError, "nobody to greet" if who == "nobody"
    File.write(File.join(ENV["LONGSHORE_OUT"], "greeting.txt"), [who, at.class, how, provider_job_id].compact.join(" "))
  end
end
