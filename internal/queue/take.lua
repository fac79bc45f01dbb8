-- KEYS: pending, paused, active. ARGV: prefix of task keys, how many. Answers ids.
local taken = {}
if redis.call('EXISTS', KEYS[2]) == 1 then return taken end
for _ = 1, tonumber(ARGV[2]) do
  local id
  repeat
    id = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
    if not id then return taken end
    local key = ARGV[1] .. id
    if redis.call('EXISTS', key) == 1 then
      redis.call('HSET', key, 'state', 'active')
      taken[#taken + 1] = id
    else
      redis.call('LREM', KEYS[3], 1, id)
      id = nil
    end
  until id
end
return taken
