-- Changes several things at once, if all is as it was read. KEYS: rev, log, audit, then what
-- the steps name by number. ARGV: epoch, length of the log, audit entries (a JSON array of texts),
-- length of the audit log, channel, names of what changed (JSON), steps (JSON). A step is
-- {verb, key, …}. All checks come before any write. Returns 0, or the number of the check that
-- failed, from 1.
local steps = cjson.decode(ARGV[7])
local is = {
  is = function(k, want) return (redis.call('GET', k) or '') == want end,
  field = function(k, f, want) return (redis.call('HGET', k, f) or '') == want end,
  fewer = function(k, most) return redis.call('SCARD', k) < tonumber(most) end,
}
for i, s in ipairs(steps) do
  local check = is[s[1]]
  if check and not check(KEYS[s[2]], s[3], s[4]) then
    return i
  end
end
for _, s in ipairs(steps) do
  local verb, k = s[1], KEYS[s[2]]
  if verb == 'set' then
    redis.call('SET', k, s[3])
  elseif verb == 'lend' then
    redis.call('SET', k, s[3], 'PX', s[4])
  elseif verb == 'del' then
    redis.call('DEL', k)
  elseif verb == 'hset' then
    redis.call('HSET', k, s[3], s[4])
  elseif verb == 'hdel' then
    redis.call('HDEL', k, s[3])
  elseif verb == 'sadd' then
    redis.call('SADD', k, s[3])
  elseif verb == 'srem' then
    redis.call('SREM', k, s[3])
  elseif verb == 'zadd' then
    -- only what is revoked is such a set, by ms: what can be forgotten must not fill it
    redis.call('ZREMRANGEBYSCORE', k, '-inf', string.format('%.0f', redis.call('TIME')[1] * 1000))
    redis.call('ZADD', k, s[3], s[4])
  end
end
redis.call('HSETNX', KEYS[1], 'e', ARGV[1])
local n = 0
for _, name in ipairs(cjson.decode(ARGV[6])) do
  n = redis.call('HINCRBY', KEYS[1], 'n', 1)
  redis.call('LPUSH', KEYS[2], name)
end
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[2]) - 1)
for _, entry in ipairs(cjson.decode(ARGV[3])) do
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'e', entry)
end
if n > 0 then
  redis.call('PUBLISH', ARGV[5], n)
end
return 0
