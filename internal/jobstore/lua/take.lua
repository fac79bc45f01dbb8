-- take: the short way of the oldest jobs of one queue that nobody has touched since they
-- were created, up to the first other one. ARGV: the claimer, the queue, how many, the
-- call's number, fences of 12 bytes, lease, the types served. Answers 1 if there may be
-- more, then for each: id and record, or these and what is in keys of their own. 0 = the
-- long way: nothing was written.
if not @MAY(queued>running)@ then return 0 end
local memo, queue, n, serial, fences, lease, types = P .. 'memo:' .. ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local last = call('GET', memo)
last = last and tonumber(string.match(last, '^(%d+) ')) or 0
if last == tonumber(serial) then return 0 end
if last > tonumber(serial) then return { 0 } end -- comes late: its caller has gone on
local Q = @QUEUE(queue)@
if call('EXISTS', Q .. 'paused', Q .. 'parked') > 0 then return 0 end
local names = call('LRANGE', Q .. 'pending', -n, -1)
local size = #names
if size == 0 then return { 0 } end
local function after(id) -- what it is after; a key of another type is for others to find
  local said = redis.pcall('HGET', P .. 'x:' .. id, 'af')
  return type(said) == 'string' and said or ''
end
local base, keys = P .. 'j:', {}
for i = 1, size do keys[i] = base .. names[size + 1 - i] end
local records = call('MGET', unpack(keys))
local heads, families = {}, {}
local started, ends = w6(t), string.format('%.0f', t + lease)
local leases, sets, events, out, tickets, m = {}, {}, {}, { 0 }, {}, 0
local popped = ''
for i = 1, size do
  local id, core = names[size + 1 - i], records[i]
  -- queued by version 3, of the first delivery, without an attempt or a part that stands first
  if #id ~= 16 or not core or sub(core, 1, 2) ~= '@VERSION@@queued@' or sub(core, 15, 19) ~= '\0\1\0\0\0' then break end
  local number = sub(core, 3, 10)
  local family = heads[number]
  if family == nil then
    local said = call('HGET', P .. 'heads', number)
    family = said and string.find(types, ' ' .. string.match(said, '(%S+)$') .. ' ', 1, true) and sub(said, 1, 8) or false
    heads[number] = family
  end
  local third = byte(core, 21)
  if not family or not third or third > @F_LAST@ then break end
  m = m + 1
  families[family] = (families[family] or 0) + 1
  local rev = raise(sub(core, 11, 14))
  core = '@VERSION@@running@' .. number .. rev .. '\0\1\0\0\@F_R@' .. sub(core, 20, 29) .. started .. sub(fences, 12 * m - 11, 12 * m) ..
    sub(core, 30)
  sets[2 * m - 1], sets[2 * m] = keys[i], core
  leases[2 * m - 1], leases[2 * m] = ends, id
  events[m] = id .. rev .. '@running@'
  tickets[m] = Q .. 't:' .. id
  popped = popped .. '\16' .. id
  out[m + 1] = third % 8 == 0 and id .. core or { id .. core, call('GET', P .. 'p:' .. id) or '',
    third % 8 >= 4 and call('GET', P .. 'g:' .. id) or '', third % 4 >= 2 and after(id) or '' }
end
if m == 0 then return 0 end
out[1] = (m < size or m == tonumber(n)) and 1 or 0
for family, by in pairs(families) do
  count(family .. '@queued@', -by)
  count(family .. '@running@', by)
end
count('list:' .. queue, -m)
count('runs:' .. queue, m)
call('ZADD', P .. 'lease', unpack(leases))
call('MSET', unpack(sets))
call('LTRIM', Q .. 'pending', 0, -m - 1)
call('UNLINK', unpack(tickets))
call('SET', memo, serial .. ' ' .. popped, 'PX', 60000)
call('PUBLISH', '@PREFIX@:events', table.concat(events))
return out
