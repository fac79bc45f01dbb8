-- take_long: pops tickets of one queue and starts their jobs, whatever they are like.
-- ARGV as take has it. What another worker serves is put aside for it. The answer is as
-- take's, but that 2 is added to the first number for each entry that was no ticket and was set apart; a suspect's
-- part is { id, delivery, type }: the caller asks again when it has room.
local memo, queue, n, serial, fences, lease_ms, types =
  P .. 'memo:' .. ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]
local Q = @QUEUE(queue)@
local last = call('GET', memo)
local was = last and tonumber(match(last, '^(%d+) ')) or 0
local again = was == tonumber(serial)
if was > tonumber(serial) then return { 0 } end -- comes late: its caller has gone on

-- pick reads up to n entries, the pending ones and those of parked lists whose type is
-- served. Both sides get half of what is wanted, and what the other leaves; turn, which
-- differs from call to call, says who is first and with which list.
local lists = {} -- list → how many of its oldest are taken
local function pick(turn)
  local kinds, names = {}, {}
  for _, kind in ipairs(call('SMEMBERS', Q .. 'parked')) do
    if string.find(types, ' ' .. kind .. ' ', 1, true) then kinds[#kinds + 1] = kind end
  end
  local function pop(list, most)
    if most <= 0 then return 0 end
    local from = lists[list] or 0
    local got = call('LRANGE', list, -from - most, -from - 1)
    for i = #got, 1, -1 do names[#names + 1] = got[i] end
    lists[list] = from + #got
    return #got
  end
  local first = floor(turn / 2) -- not turn: its last bit says who is first
  local function parked(most)
    for i = 1, #kinds do
      local share = math.ceil(most / (#kinds - i + 1))
      most = most - pop(Q .. 'pending:type:' .. kinds[(first + i) % #kinds + 1], share)
    end
  end
  local half = math.ceil(n / 2)
  if #kinds == 0 then half = n end
  if turn % 2 == 1 or #kinds == 0 then
    pop(Q .. 'pending', half)
    parked(n - #names)
  else
    parked(half)
    pop(Q .. 'pending', n - #names)
  end
  parked(n - #names)
  pop(Q .. 'pending', n - #names)
  return names, kinds
end

local names, kinds = {}, {}
if again then
  local i = #serial + 2
  while i <= #last do
    local size = byte(last, i)
    names[#names + 1] = sub(last, i + 1, i + size)
    i = i + 1 + size
  end
elseif call('EXISTS', Q .. 'paused') == 1 then
  return { 0 }
else
  names, kinds = pick(tonumber(serial))
end

local out, kept, aside, strangers = { (again or #names >= n) and 1 or 0 }, '', {}, {}
local size = 0
local function start(entry, place)
  local id = sub(entry, 1, 16)
  if #entry ~= 16 and #entry ~= 18 then return nil end -- no ticket of ours
  local d = #entry == 18 and r2(entry, 17) or 1
  local j = load(id)
  if not j then return nil end
  local fence = sub(fences, 12 * place + 1, 12 * place + 12)
  if not (j.s == 'running' and j.f == fence) then
    if j.s ~= 'queued' or j.d ~= d then return nil end
    if j.x and j.st == 0 and j.x <= t then
      finish(j, 'expired')
      return nil
    end
    if not string.find(types, ' ' .. j.head.kind .. ' ', 1, true) then return { 'unserved', j.head.kind } end
    if j.ls >= @SUSPECT@ then
      todo(2, 'ZADD', P .. 'when', int(t + @LOOK@), id) -- it has no ticket while the caller decides
      return { id, d, j.head.kind }
    end
    if j.x then unlook(j) end
    j.f, j.st = fence, t
    move(j, 'running')
  end
  if not j.cr then lease(j, t + lease_ms) end
  return handed(j)
end

for i, entry in ipairs(names) do
  local ok, reply = decide(start, entry, again and i - 1 or size) -- a repeat finds each at its first fence
  if not ok then
    put_by(sub(entry, 1, 16), reply)
    reply = nil
  end
  if reply and reply[1] == 'unserved' then
    local kind = reply[2]
    aside[kind] = aside[kind] or {}
    table.insert(aside[kind], entry)
  elseif not reply and not again and foreign(Q, entry) then
    strangers[#strangers + 1] = entry
  else
    if not again then plan[#plan + 1] = { 5, 'UNLINK', Q .. 't:' .. entry } end
    if reply then
      size = size + 1
      out[size + 1] = reply
      kept = kept .. char(#entry) .. entry
    end
  end
end

set_apart(Q, strangers) -- before they leave the other list
out[1] = out[1] + 2 * #strangers
for kind, entries in pairs(aside) do -- before they leave the other list: twice does no harm
  plan[#plan + 1] = { 5, function()
    call('SADD', Q .. 'parked', kind)
    if call('LPUSH', Q .. 'pending:type:' .. kind, unpack(entries)) == #entries then @RING(queue, ' ' .. kind)@ end
  end }
end
if not again then
  local pending = lists[Q .. 'pending'] or 0
  if pending > 0 then plan[#plan + 1] = { 1, count, 'list:' .. queue, -pending } end
  for list, taken in pairs(lists) do
    if taken > 0 then plan[#plan + 1] = { 5, 'LTRIM', list, 0, -taken - 1 } end
  end
  plan[#plan + 1] = { 5, 'SET', memo, serial .. ' ' .. kept, 'PX', 60000 }
end
flush()
if not again then
  for _, kind in ipairs(kinds) do
    if call('EXISTS', Q .. 'pending:type:' .. kind) == 0 then call('SREM', Q .. 'parked', kind) end
  end
end
return out
