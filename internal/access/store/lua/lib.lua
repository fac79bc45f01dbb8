-- What each change ends with. ARGV: epoch, name, length of the log, audit entry, length of
-- the audit log, channel; KEYS: rev, log, audit.
local function changed()
  redis.call('HSETNX', KEYS[1], 'e', ARGV[1])
  local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
  redis.call('LPUSH', KEYS[2], ARGV[2])
  redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[3]) - 1)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'e', ARGV[4])
  redis.call('PUBLISH', ARGV[6], n)
  return 1
end
