-- state: one queue in one moment, of one partition. KEYS: pending. Answers the time (ms), how many
-- wait in the pending list, whether it is paused, some of the oldest, and the parked types
-- with how many wait of each, and how many tasks of others are set apart. That one of the oldest was given back lately hides how old the others
-- are, so the 1st, 8th and 64th are told.
local keys, t = sub(KEYS[1], 1, -8), call('TIME')
local oldest, parked = {}, {}
local function sample(list)
  for _, from in ipairs({ -1, -8, -64 }) do oldest[#oldest + 1] = call('LINDEX', list, from) or nil end
end
sample(KEYS[1])
for _, kind in ipairs(call('SMEMBERS', keys .. 'parked')) do
  local list = keys .. 'pending:type:' .. kind
  parked[#parked + 1] = kind
  parked[#parked + 1] = call('LLEN', list)
  sample(list)
end
return { t[1] * 1000 + math.floor(t[2] / 1000), call('LLEN', KEYS[1]), call('EXISTS', keys .. 'paused'), oldest, parked,
  call('LLEN', keys .. 'foreign') }
