-- Adds a key that signs, unless another one is young enough; those that signed nothing
-- that still lives go. KEYS: …, signing. ARGV: …, id, hex, now, the age from which there
-- is to be a new one, and the one at which one goes.
local now, young = tonumber(ARGV[9]), false
local all = redis.call('HGETALL', KEYS[4])
for i = 1, #all, 2 do
  local age = now - tonumber(string.match(all[i + 1], '^%d+'))
  if age < tonumber(ARGV[10]) then
    young = true
  elseif age > tonumber(ARGV[11]) then
    redis.call('HDEL', KEYS[4], all[i])
  end
end
if young then
  return 0
end
redis.call('HSET', KEYS[4], ARGV[7], ARGV[9] .. ' ' .. ARGV[8])
return changed()
