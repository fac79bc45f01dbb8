-- Tickets whose type the worker that took them doesn't serve stand parked: in a
-- list a type beside the queue's pending one. Set "parked" names the types
-- that have such a list; whoever serves one takes from there too. A ticket is
-- parked once and doesn't go back, unless workers of a release that knows
-- nothing of it are about (unpark.lua).
local function aside(keys, kind) return keys .. 'pending:type:' .. kind end

-- pick pops up to n tickets' names, the pending ones and those of parked lists
-- whose type is served. Both sides get half of what is wanted, and what the other
-- leaves; turn, which differs from call to call, says who is first and with which
-- list, so that none of them waits for another one's end.
local function pick(keys, n, types, turn)
  if call('EXISTS', keys .. 'paused') == 1 then return {} end
  local kinds = {}
  for _, kind in ipairs(call('SMEMBERS', keys .. 'parked')) do
    if types == '' or find(types, ' ' .. kind .. ' ', 1, true) then kinds[#kinds + 1] = kind end
  end
  local pending, count = keys .. 'pending', #kinds
  local first = math.floor(turn / 2) -- not turn: its last bit says who is first
  if count == 0 then return call('RPOP', pending, n) or {} end
  local names = {}
  local function pop(list, most)
    local got = most > 0 and call('RPOP', list, most) or {}
    for _, name in ipairs(got) do names[#names + 1] = name end
    return #got
  end
  local function parked(most)
    for i = 1, count do
      local kind, share = kinds[(first + i) % count + 1], math.ceil(most / (count - i + 1))
      local got = pop(aside(keys, kind), share)
      if got < share then call('SREM', keys .. 'parked', kind) end -- it is empty
      most = most - got
    end
  end
  local half = math.ceil(n / 2)
  if turn % 2 == 1 then
    pop(pending, half)
    parked(n - #names)
  else
    parked(half)
    pop(pending, n - #names)
  end
  parked(n - #names)
  pop(pending, n - #names)
  return names
end

-- park puts a ticket aside that pick has popped; settle_parked writes the lists,
-- and rings for those who serve a type whose list was empty.
local set_aside = {}
local function park(keys, name, kind)
  call('HSET', keys .. 't:' .. name, 'state', 'parked')
  local list = set_aside[kind]
  if not list then
    list = {}
    set_aside[kind] = list
  end
  list[#list + 1] = name
end

local function settle_parked(keys, queue, channel)
  for kind, names in pairs(set_aside) do
    call('SADD', keys .. 'parked', kind)
    if call('LPUSH', aside(keys, kind), unpack(names)) == #names then
      call('PUBLISH', channel, queue .. ' ' .. kind)
    end
  end
end
