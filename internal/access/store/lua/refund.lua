-- Takes back one try under each key: it was a good one. KEYS: accounts. ARGV: how many. The wait that it began is
-- none either. Another's try that came meanwhile, when the wait was over, begins its own anew.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
for i = 1, tonumber(ARGV[1]) do
  local k = KEYS[i]
  local n = tonumber(string.match(redis.call('GET', k) or '0 0', '^(%d+) ') or 0)
  if n > 1 then
    redis.call('SET', k, string.format('%d %.0f', n - 1, now), 'PX', 3600000)
  else
    redis.call('DEL', k)
  end
end
return 0
