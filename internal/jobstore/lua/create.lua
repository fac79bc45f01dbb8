-- create: the short way of jobs that are new and queued at once. Four texts a job: its
-- id in both spellings, then the idempotency key's hash and the digest if it has one, 'c' if the id was chosen; flags and all
-- that stands behind the creation; number, family and text of its head; a payload that
-- has its own key. Answers created and place of the first; 0 = the long way: nothing was written.
if not @MAY(>queued)@ then return 0 end
local keys, seen, sets, names, claims = {}, {}, {}, {}, {}
local base, n = P .. 'j:', 0
for i = 1, #ARGV, 4 do
  local id = ARGV[i]
  local said = id
  id = sub(said, 1, 16)
  if #said % 16 == 1 then keys[#keys + 1] = P .. 'c:' .. id end
  if #said > 49 then
    local hash = P .. 'i:' .. sub(said, 49, 64)
    if seen[hash] then return 0 end
    seen[hash] = true
    keys[#keys + 1], claims[#claims + 1] = hash, hash
    claims[#claims + 1] = id .. sub(said, 65, 80)
  end
  if seen[id] then return 0 end
  seen[id] = true
  n = n + 1
  names[n] = id
  keys[#keys + 1] = base .. id
end
if call('EXISTS', unpack(keys)) > 0 then return 0 end
local heads, order, lists, queues = {}, {}, {}, {}
for i = 3, #ARGV, 4 do
  local head = ARGV[i]
  local h = heads[head]
  if not h then
    local number, said = sub(head, 1, 8), sub(head, 9)
    local known = call('HGET', P .. 'heads', number)
    if known ~= said then
      if known or call('HLEN', P .. 'heads') >= @MAX_HEADS@ then return 0 end -- inline: the long way
      local tenant, kind = string.match(said, '(%S+) (%S+)$', 9)
      if tenant ~= '@TENANT@' then
        call('SADD', P .. 'tenants', tenant)
        call('HSET', P .. 'n:' .. tenant, sub(said, 1, 8), kind)
      end
      call('HSET', P .. 'heads', number, said)
    end
    local queue = string.match(said, '^(%S+)', 9)
    local list = lists[queue]
    if not list then
      list = { queue = queue, ids = {}, hexes = {} }
      lists[queue] = list
      queues[#queues + 1] = list
    end
    h = { number = number, family = sub(head, 9, 16), list = list, n = 0 }
    heads[head] = h
    order[#order + 1] = h
  end
  local list = h.list
  local k = #list.ids + 1
  h.n = h.n + 1
  list.ids[k], list.hexes[k] = names[(i + 1) / 4], sub(ARGV[i - 2], 17, 48)
end
local ms, place = t, 0
local last = call('GET', P .. 'last')
if not last or #last ~= 8 then return 0 end -- the long way looks for the newest
local a, b, c, d, e, f, g, h = byte(last, 1, 8)
local was = ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
if was >= t then ms, place = was, g * 256 + h + 1 end
if place + n > 65536 then ms, place = ms + 1, 0 end
local stamp, at = w6(ms), string.format('%.0f-', ms)
for _, h in ipairs(order) do count(h.family .. '@queued@', h.n) end
for _, list in ipairs(queues) do count('list:' .. list.queue, #list.ids) end
local first, final = place, place + n - 1
call('SET', P .. 'last', stamp .. char((final - final % 256) / 256, final % 256))
for i = 1, #claims, 2 do call('SET', claims[i], claims[i + 1]) end
local events = {}
for i = 1, n do
  local from, id = 4 * i, names[i]
  local h, body = heads[ARGV[from - 1]], ARGV[from - 2]
  local stood = redis.pcall('XADD', P .. 'all:' .. h.family, at .. place, 'j', id)
  if type(stood) == 'table' and stood.err then -- a strange hand's key makes room
    if call('TYPE', P .. 'all:' .. h.family).ok == 'stream' then error(stood) end
    call('DEL', P .. 'all:' .. h.family)
    call('HSET', P .. 'n', 'bad', '1')
    call('XADD', P .. 'all:' .. h.family, at .. place, 'j', id)
  end
  sets[#sets + 1] = base .. id
  sets[#sets + 1] = '@VERSION@@queued@' .. h.number .. '\0\0\0\1\0\1\0\0' .. sub(body, 1, 3) .. stamp ..
    char((place - place % 256) / 256, place % 256) .. sub(body, 4)
  if ARGV[from] ~= '' then
    sets[#sets + 1] = P .. 'p:' .. id
    sets[#sets + 1] = ARGV[from]
  end
  place = place + 1
  events[i] = id .. '\0\0\0\1@queued@'
end
call('MSET', unpack(sets))
for _, list in ipairs(queues) do
  local Q, ids, hexes = @QUEUE(list.queue)@, list.ids, list.hexes
  if call('LPUSH', Q .. 'pending', unpack(ids)) == #ids then @RING(list.queue)@ end
  for i = 1, #ids do call('HSET', Q .. 't:' .. ids[i], 'msg', '@MSG@' .. hexes[i]) end
end
call('PUBLISH', '@PREFIX@:events', table.concat(events))
return { ms, first }
