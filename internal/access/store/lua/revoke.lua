-- KEYS: …, revoked, how many the actor made. ARGV: …, now, the most that are kept, the most
-- of an actor, then names and until when. What is revoked already is no change.
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[7])
local more = 0
for i = 10, #ARGV, 2 do
  if not redis.call('ZSCORE', KEYS[4], ARGV[i]) then
    more = more + 1
  end
end
if more == 0 then
  return 1
end
local made = tonumber(redis.call('GET', KEYS[5]) or '0')
if redis.call('ZCARD', KEYS[4]) + more > tonumber(ARGV[8]) or made + more > tonumber(ARGV[9]) then
  return 0
end
redis.call('INCRBY', KEYS[5], more)
if made == 0 then
  redis.call('EXPIRE', KEYS[5], 172800)
end
for i = 10, #ARGV, 2 do
  redis.call('ZADD', KEYS[4], ARGV[i + 1], ARGV[i])
end
return changed()
