-- take: pops tickets of one queue and starts their jobs, in one step. ARGV:
-- queue, how many, the call's number, a fence of 16 characters for each,
-- lease, the types served, and whether tickets of others are put aside for
-- those who serve them ('1') or given to the caller. KEYS[1] keeps what the last
-- call popped for the caller, so that a call whose reply was lost can be repeated.
-- The answer is 1 if there may be more, then five texts a ticket: its name, and
-- what start answered.
local MOST_ASIDE = 128 -- are put aside in one call, or a few more: Redis does nothing else meanwhile
local queue, n, serial, fences, lease_ms, types, asides = unpack(ARGV)
n = tonumber(n)
local t, bases, one, flush, cause = now(), {}, nil, nil, nil
local last = call('GET', KEYS[1])
local again = last and match(last, '^(%d+) ') == serial

-- attempt answers what start_one does, in five values.
local function attempt(name, fence)
  local id, delivery = read_name(name)
  local last = id and sub(id, -1)
  local base = last and bases[last]
  if last and not base then
    local shard = tonumber(last, 16)
    base = shard and PREFIX .. ':{' .. shard .. '}:j:'
    bases[last] = base
  end
  if not base then return 'stale' end -- what is no ticket of ours is thrown away
  local key = base .. id
  local h, m, p, past = begin(key, t, delivery, fence, lease_ms, types)
  if h then return 'ok', h, m, p, past end
  if not one then one, flush, cause = words() end
  return unpack(one(key, t, delivery, fence, lease_ms, '0', types))
end

local replies, size, kept, left = { 0 }, 1, {}, MOST_ASIDE
-- handle does one ticket; whoever is put aside uses up no fence.
local function handle(name)
  local from = 16 * #kept
  local ok, word, h, m, p, past = pcall(attempt, name, sub(fences, from + 1, from + 16))
  if not ok then
    if not cause then one, flush, cause = words() end
    word = cause(word)
  end
  if word == 'unserved' and asides == '1' then
    leave(name, h)
    left = left - 1
    return
  end
  if word == 'ok' then
    if not again then hold(name) end
  elseif word == 'suspect' or word == 'unserved' then -- the caller decides, and tells the queue
    if not again then hold(name) end
    m, p, past = h, '', '' -- in two steps: the in-memory stand-in's Lua assigns as it goes
    h = word
  else
    drop(name)
    h, m, p, past = word, '', '', ''
  end
  kept[#kept + 1] = name
  replies[size + 1], replies[size + 2], replies[size + 3], replies[size + 4], replies[size + 5] = name, h, m, p, past
  size = size + 5
end

if again then
  for name in string.gmatch(sub(last, #serial + 2), '%S+') do handle(name) end
  replies[1] = 1
else
  local popped, turn = serial .. ' ', tonumber(serial)
  repeat
    local want = n - #kept
    local names = take(want, types, turn)
    if not names[1] then break end
    popped = popped .. table.concat(names, ' ') .. ' '
    call('SET', KEYS[1], popped, 'PX', 60000)
    for _, name in ipairs(names) do handle(name) end
    replies[1] = #names == want and 1 or 0
  until #kept == n or replies[1] == 0 or left <= 0
  if popped == serial .. ' ' then return replies end
  if left < MOST_ASIDE then call('SET', KEYS[1], serial .. ' ' .. table.concat(kept, ' '), 'PX', 60000) end
end
write()
if flush then flush() end
settle(t)
return replies
