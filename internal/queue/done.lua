-- KEYS: a task key each, "asynq:{queue}:t:<id>". ARGV, three each: id, when the day's
-- count may go (s), key of the day's count.
local replies, counts, days, expiry = {}, {}, {}, {}
for i, key in ipairs(KEYS) do
  local id, at, day = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local base = string.sub(key, 1, -(#id + 3))
  if redis.call('LREM', base .. 'active', -1, id) == 1 then
    redis.call('DEL', key)
    counts[base], days[base], expiry[base] = (counts[base] or 0) + 1, day, at
    replies[i] = { 'ok' }
  else
    replies[i] = { 'gone' }
  end
end
for base, n in pairs(counts) do
  if redis.call('INCRBY', days[base], n) == n then redis.call('EXPIREAT', days[base], expiry[base]) end
  redis.call('INCRBY', base .. 'processed', n)
end
return replies
