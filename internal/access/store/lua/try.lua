-- Counts one more try under each key, unless one of them must wait; a try that succeeds is taken
-- back by deleting the key. KEYS: accounts. ARGV: for each, how many tries are free. After them
-- the wait doubles from 1 s to 15 min, and what was tried is forgotten an hour after it. Returns
-- how long to wait, in ms; 0 = go on.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local wait, counts = 0, {}
for i = 1, #ARGV do
  local n, at = string.match(redis.call('GET', KEYS[i]) or '0 0', '^(%d+) (%d+)$')
  counts[i] = tonumber(n or 0)
  wait = math.max(wait, tonumber(at or 0) - now)
end
if wait > 0 then
  return wait
end
for i = 1, #ARGV do
  local n, at = counts[i] + 1, now
  if n >= tonumber(ARGV[i]) then
    at = now + math.min(1000 * 2 ^ math.min(n - tonumber(ARGV[i]), 20), 900000)
  end
  redis.call('SET', KEYS[i], string.format('%d %.0f', n, at), 'PX', 3600000 + (at - now))
end
return 0
