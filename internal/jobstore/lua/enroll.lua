-- enroll: a queue is to be used that isn't the default one. KEYS: P:queues, all that there are, by when they were used
-- last (ms). ARGV: its name, how many there may be. Answers 0 if there are as many without it.
local call = redis.call
local clock = call('TIME')
if not call('ZSCORE', KEYS[1], ARGV[1]) and call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
call('ZADD', KEYS[1], clock[1] * 1000 + math.floor(clock[2] / 1000), ARGV[1])
return 1
