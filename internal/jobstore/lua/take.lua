-- take: pops tickets of one queue and starts their jobs, in one step. ARGV:
-- queue, how many, the call's number, a fence of 16 characters for each,
-- lease, the types served. KEYS[1] keeps what the last call popped, so that a
-- call whose reply was lost can be repeated.
-- The answer is 1 if there may be more, then four texts a ticket: its name, and
-- what start answered.
local queue, n, serial, fences, lease_ms, types = unpack(ARGV)
local names
local last = call('GET', KEYS[1])
local again = last and match(last, '^(%d+) ') == serial
if again then
  names = {}
  for name in string.gmatch(sub(last, #serial + 2), '%S+') do names[#names + 1] = name end
else
  names = take(n)
  if not names[1] then return { 0 } end
  call('SET', KEYS[1], serial .. ' ' .. table.concat(names, ' '), 'PX', 60000)
end
local t, bases, one, flush, cause = now(), {}, nil, nil, nil

-- attempt answers what start_one does, in four values.
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
  local h, m, p = begin(key, t, delivery, fence, lease_ms, types)
  if h then return 'ok', h, m, p end
  if not one then one, flush, cause = words() end
  return unpack(one(key, t, delivery, fence, lease_ms, '0', types))
end

local replies, size = { #names == tonumber(n) and 1 or 0 }, 1
for i, name in ipairs(names) do
  local ok, word, h, m, p = pcall(attempt, name, sub(fences, 16 * i - 15, 16 * i))
  if not ok then
    if not cause then one, flush, cause = words() end
    word = cause(word)
  end
  if word == 'ok' then
    if not again then hold(name) end
  elseif word == 'suspect' or word == 'unserved' then -- the caller decides, and tells the queue
    if not again then hold(name) end
    m, p = h, '' -- in two steps: the in-memory stand-in's Lua assigns as it goes
    h = word
  else
    drop(name)
    h, m, p = word, '', ''
  end
  replies[size + 1], replies[size + 2], replies[size + 3], replies[size + 4] = name, h, m, p
  size = size + 4
end
write()
if flush then flush() end
settle(t)
return replies
