-- take: pops tickets of one queue and starts their jobs, in one step. ARGV:
-- queue, how many, the call's number, a fence of 16 characters for each,
-- lease, the types served. KEYS[1] keeps what the last call popped, so that a
-- call whose reply was lost can be repeated.
-- The answer is 1 if there may be more, then four texts a ticket: its name, and
-- what start answered.
local queue, n, serial, fences, lease_ms, types = unpack(ARGV)
local t, names = now(), nil
local last = call('GET', KEYS[1])
local again = last and match(last, '^(%d+) ') == serial
if again then
  names = {}
  for name in string.gmatch(sub(last, #serial + 2), '%S+') do names[#names + 1] = name end
else
  names = take(queue, n)
  if names[1] then call('SET', KEYS[1], serial .. ' ' .. table.concat(names, ' '), 'PX', 60000) end
end
local replies, size = { #names == tonumber(n) and 1 or 0 }, 1
for i, name in ipairs(names) do
  local id, delivery = read_name(name)
  local word = 'stale' -- what is no ticket of ours is thrown away
  local h, m, p = '', '', ''
  if id then
    local ok, reply = pcall(start, PREFIX .. ':{' .. SHARDS[sub(id, -1)] .. '}:j:' .. id, t, delivery,
      sub(fences, 16 * i - 15, 16 * i), lease_ms, '0', types)
    if not ok then reply = { cause(reply) } end
    word, h, m, p = unpack(reply)
  end
  if word == 'ok' then
    if not again then hold(queue, name) end
  elseif word == 'suspect' or word == 'unserved' then -- the caller decides, and tells the queue
    if not again then hold(queue, name) end
    h, m, p = word, h, ''
  else
    drop(queue, name)
    h, m, p = word, '', ''
  end
  replies[size + 1], replies[size + 2], replies[size + 3], replies[size + 4] = name, h, m, p
  size = size + 4
end
index()
publish()
settle(t)
return replies
