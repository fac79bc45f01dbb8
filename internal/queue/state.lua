-- state: one queue in one moment. KEYS: pending. Answers the time (ms), how many
-- wait in the pending list, how many are held, whether it is paused, some of the
-- oldest as name and time (ns), and the parked types with how many wait of each. That
-- one of the oldest was given back lately hides how old the others are, so the
-- 1st, 8th and 64th are told.
local keys, t = sub(KEYS[1], 1, -8), call('TIME')
local oldest, parked = {}, {}
local function sample(list)
  for _, from in ipairs({ -1, -8, -64 }) do
    local name = call('LINDEX', list, from)
    if name then
      oldest[#oldest + 1] = name
      oldest[#oldest + 1] = call('HGET', keys .. 't:' .. name, 'pending_since') or '0'
    end
  end
end
sample(KEYS[1])
for _, kind in ipairs(call('SMEMBERS', keys .. 'parked')) do
  local list = aside(keys, kind)
  parked[#parked + 1] = kind
  parked[#parked + 1] = call('LLEN', list)
  sample(list)
end
return { t[1] * 1000 + math.floor(t[2] / 1000), call('LLEN', KEYS[1]), call('LLEN', keys .. 'active'),
  call('EXISTS', keys .. 'paused'), oldest, parked }
