-- KEYS: pending. ARGV: how many, the types served, a number that differs from
-- call to call. Answers names; an id without a task is thrown away.
local keys = sub(KEYS[1], 1, -8)
local n, taken = tonumber(ARGV[1]), {}
repeat
  local want = n - #taken
  local names = pick(keys, want, ARGV[2], tonumber(ARGV[3]))
  local held = {}
  for _, name in ipairs(names) do
    local task = keys .. 't:' .. name
    if call('EXISTS', task) == 1 then
      call('HSET', task, 'state', 'active')
      held[#held + 1], taken[#taken + 1] = name, name
    end
  end
  if held[1] then call('LPUSH', keys .. 'active', unpack(held)) end
until #taken == n or #names < want
return taken
