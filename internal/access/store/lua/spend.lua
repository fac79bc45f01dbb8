-- spend takes as many of the wanted requests as there is room for (redisdb.GCRA). KEYS: the arrival time.
-- ARGV: µs that one request makes up for, burst, how many are wanted. Returns how many were
-- taken, how many more there is room for, µs until the next one (if none was), µs until all
-- are made up for.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local gap, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local was = tonumber(redis.call('GET', KEYS[1]) or '0')
local at, room = gcra(was, now, gap, burst)
if room < 1 then
  if at < was then redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000) + 1000) end
  return {0, 0, math.ceil(at + gap - now - burst * gap), math.ceil(at - now)}
end
local n = math.min(want, room)
at = at + n * gap
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000) + 1000)
return {n, room - n, 0, math.ceil(at - now)}
