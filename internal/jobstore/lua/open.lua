-- open: an upload in pieces is about to begin, or goes on, and counts until its
-- end. KEYS are the sorted sets of all that are open and of one address's; ARGV are
-- the upload, its end, and how many each set may hold, 0 = any number.
local t, id, ends = now(), ARGV[1], ARGV[2]
for i = 1, #ARGV - 2 do
  local key = KEYS[i]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', t)
  local most = tonumber(ARGV[2 + i])
  if most and most > 0 and redis.call('ZCARD', key) >= most and not redis.call('ZSCORE', key, id) then return i end
end
for i = 1, #ARGV - 2 do
  local key = KEYS[i]
  redis.call('ZADD', key, t + ends, id)
  redis.call('PEXPIRE', key, ends)
end
return 0
