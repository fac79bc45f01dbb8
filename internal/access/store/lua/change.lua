-- Puts a key in the place of what was there, '' being none on either side.
-- KEYS: …, key, keys, revoked, used. ARGV: …, id, old, new, until when a deletion is kept.
local id, old, new = ARGV[7], ARGV[8], ARGV[9]
if (redis.call('GET', KEYS[4]) or '') ~= old then
  return 0
end
if new == '' then
  redis.call('DEL', KEYS[4])
  redis.call('SREM', KEYS[5], id)
  redis.call('HDEL', KEYS[7], id)
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', string.format('%.0f', redis.call('TIME')[1] * 1000))
  redis.call('ZADD', KEYS[6], ARGV[10], ARGV[2])
else
  redis.call('SET', KEYS[4], new)
  redis.call('SADD', KEYS[5], id)
end
return changed()
