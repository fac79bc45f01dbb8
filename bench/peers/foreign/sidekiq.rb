# The roles of Sidekiq; see doc.go. `sidekiq -r ./sidekiq.rb` is role work.
require 'sidekiq'

def now = Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)

Sidekiq.configure_server { |c| c.redis = { url: ENV['TARGET'] } }
Sidekiq.configure_client { |c| c.redis = { url: ENV['TARGET'] } }

$lock, $done, $last, $due = Mutex.new, 0, 0, false

def report
  sleep 0.01
  line = $lock.synchronize do
    $due = false
    "done #{Process.pid} #{$done} #{$last}"
  end
  puts line
end

class Noop
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform(t)
    at = now
    $lock.synchronize do
      $done += 1
      $last = at
      Thread.new { report } unless $due
      $due = true
    end
    puts "late #{at - t}" if t > 0
  end
end

$stdout.sync = true
if Sidekiq.server?
  Sidekiq.logger.level = Logger::ERROR
  Sidekiq.configure_server do |c|
    c.on(:startup) { puts 'ready' }
  end
else
  role, count, gap = ARGV
  if role == 'bulk'
    began, left = now, count.to_i
    while left > 0
      Sidekiq::Client.push_bulk('class' => Noop, 'args' => Array.new([left, 1000].min) { [0] })
      left -= 1000
    end
    puts "took #{now - began}"
  else
    Sidekiq.redis(&:ping)
    count.to_i.times do
      sleep gap.to_f / 1000
      Noop.perform_async(now)
    end
  end
end
