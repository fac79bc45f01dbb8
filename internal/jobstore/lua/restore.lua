-- restore: makes some jobs of a backup, in the order in which they were created. KEYS: the partition. ARGV: the number of the
-- last of them in the backup; what key sweep has said since the restore began; the lease; how many heads, each as number, family and text;
-- then of each job its id, record (of one that is only counted in its batch: how it has ended and the batch), head ('0' = it has its own), how many things stand beside it, and of each of these a letter, how many values,
-- the values, as dump.lua tells them. Answers { 'ok', how many were made, how many can't be read }, 'done' if this call was carried out before, 'alive' if a
-- program has begun to work here, which must not see half of a backup.
--
-- Key restore has how far the partition is, written with the jobs: a call is carried out once, even if they have run and gone since.
local upto, lease_ms, i = tonumber(ARGV[1]), tonumber(ARGV[3]), 5
if tonumber(call('GET', P .. 'restore') or 0) >= upto then return { 'done' } end
if (call('GET', P .. 'sweep') or '') ~= ARGV[2] then return { 'alive' } end

-- heads_of puts heads into the table. Where it is full their jobs keep them.
local said = {}
for k = 1, tonumber(ARGV[4]) do
  local code, text = sub(ARGV[i], 1, 8), sub(ARGV[i], 9)
  local h = read_head(sub(text, 9))
  h.family = sub(text, 1, 8)
  local known = call('HGET', P .. 'heads', code)
  if not known and call('HLEN', P .. 'heads') < @MAX_HEADS@ then
    call('HSET', P .. 'heads', code, text)
    known = text
  end
  mend_tenant(h)
  heads[code] = h
  said[k] = { head = h, code = code, fits = known == text, text = sub(text, 9), ids = {}, entries = {} }
  i = i + 1
end

local ms, n = 0, -1
local newest = call('GET', P .. 'last')
if newest and #newest == 8 then ms, n = r6(newest, 1), r2(newest, 7) end

-- place stands a job behind all others in the stream of its family, and returns how its record says so.
local function place(id, created, family)
  if created > ms then ms, n = created, 0 else n = n + 1 end
  if n > 65535 then ms, n = ms + 1, 0 end
  call('XADD', P .. 'all:' .. family, int(ms) .. '-' .. n, 'j', id)
  return w6(ms) .. w2(n)
end

local counted = {}
local function add(field, by) counted[field] = (counted[field] or 0) + by end

-- count_in counts a job of a batch; ended is the letter of its state, if it has. Nobody is told: the batch is looked at later.
local function count_in(b, ended, id)
  local share = share_of(b)
  call('HINCRBY', share, 'n', 1)
  call('RPUSH', P .. 'm:' .. b, id)
  if not ended then return end
  call('HINCRBY', share, ended, 1)
  local list = call('HGET', share, 'bad') or ''
  if ended ~= '@succeeded@' and #list < BAD then call('HSET', share, 'bad', list .. id) end
end

-- line_up stands a ticket in the line of the first limit that its job has no slot of. It gives none: who keeps one to its
-- end may come behind it. The first sweep does.
line_up = function(j, lm)
  local id, entry = j.id, entry_of(j)
  call('HSET', @QUEUE(j.head.queue)@ .. 't:' .. entry, 'msg', '@MSG@' .. hex(id))
  for _, class in ipairs(in_order(lm)) do
    local slots = P .. 'slots:' .. class
    if call('SISMEMBER', slots, id) == 0 then
      if bound(class) then
        stand(id, entry, class)
        call('SADD', P .. 'hurry', class)
        return
      end
      call('SADD', slots, id)
      call('SADD', P .. 'classes', class)
    end
  end
  to_pending(j.head.queue, entry)
end

-- bring_back plans what isn't usual. A run is as one whose worker was lost; what was to be canceled is.
local function bring_back(id, core, about, fields)
  cores[id], blank[id] = core, true
  for name, value in pairs(fields) do rares[id .. name] = value end
  local j = load(id)
  local head, letter = j.head, sub(core, 2, 2)
  if about and not about.fits then
    j.inline, j.code = true, '\0\0\0\0\0\0\0\0'
    j.fixed = j.fixed .. head.family .. char(#about.text) .. about.text
  elseif not about then
    mend_tenant(head)
  end
  j.entry = place(id, j.created, head.family)
  j.created = r6(j.entry, 1)
  put(j)
  todo(1, count, head.family .. letter, 1)
  if j.b then todo(1, count_in, j.b, TERMINAL[j.s] and LETTERS[j.s], id) end
  if j.m then todo(3, 'ZADD', P .. 'own', 0, j.m .. id) end
  local uk, lm = rare(j, 'uk'), rare(j, 'lm')
  if uk then todo(2, 'SET', P .. 'k:' .. sub(uk, 3, 18), id) end
  if lm and j.st > 0 and not TERMINAL[j.s] and not j.cr then -- slots to the end
    todo(5, function()
      for class in string.gmatch(lm, '%S+') do
        local _, to_end = bound(class)
        if to_end then
          call('SADD', P .. 'slots:' .. class, id)
          call('SADD', P .. 'classes', class)
        end
      end
    end)
  end
  if j.s == 'running' then
    todo(1, count, 'runs:' .. head.queue, 1)
    story(j, 'restored', 'backup')
    if j.cr then finish(j, 'canceled') else enqueue(j) end
  elseif j.s == 'queued' then
    if j.x then look_at(j) end
    push(j)
  else
    mend(j, lease_ms, '0', '0')
    if is_batch(j) and j.s == 'waiting' then
      todo(2, 'ZADD', P .. 'when', int(t), id)
      todo(2, 'ZADD', P .. 'owes:batch', int(t), id)
    end
  end
end

-- usual makes a job that is queued and no more.
local sets = {}
local function usual(id, core, about)
  local entry = place(id, r6(core, 22), about.head.family)
  sets[#sets + 1] = P .. 'j:' .. id
  sets[#sets + 1] = sub(core, 1, 21) .. entry .. sub(core, 30)
  add(about.head.family .. '@queued@', 1)
  local d = r2(core, 15)
  about.ids[#about.ids + 1] = id
  about.entries[#about.entries + 1] = d > 1 and id .. sub(core, 15, 16) or id
end

-- beside writes what stands beside a record, and returns the rare fields.
local WRITES = { e = 'RPUSH', s = 'RPUSH', u = 'HSET', w = 'HSET', x = 'HSET' }
local function beside(id, things)
  local fields = {}
  for _ = 1, things do
    local kind, size = ARGV[i], tonumber(ARGV[i + 1])
    local first, last = i + 2, i + 1 + size
    i = last + 1
    if kind == 'i' then
      call('SET', P .. 'i:' .. ARGV[first], id .. ARGV[last])
    elseif WRITES[kind] then
      call('DEL', P .. kind .. ':' .. id)
      call(WRITES[kind], P .. kind .. ':' .. id, unpack(ARGV, first, last))
    else
      call('SET', P .. kind .. ':' .. id, ARGV[first])
    end
    for k = kind == 'x' and first or last + 1, last, 2 do
      if ARGV[k] == 'lp' then call('HDEL', P .. 'x:' .. id, 'lp') else fields[ARGV[k]] = ARGV[k + 1] end
    end
  end
  return fields
end

local made, bad = 0, 0
while i <= #ARGV do
  local id, core, about, things = ARGV[i], ARGV[i + 1], said[tonumber(ARGV[i + 2])], tonumber(ARGV[i + 3])
  i = i + 4
  if #core == 17 then
    local b = sub(core, 2)
    if there(b) then plan[#plan + 1] = { 1, count_in, b, sub(core, 1, 1), id } end
  elseif call('EXISTS', P .. 'j:' .. id) == 1 then -- by a call that stopped in its midst
    for _ = 1, things do i = i + 2 + tonumber(ARGV[i + 1]) end
  else
    local fields, f1, f2 = beside(id, things), byte(core, 19, 20)
    if about and about.fits and sub(core, 2, 2) == '@queued@' and not (has(f1, @F_O@) or has(f1, @F_X@) or has(f2, @F_M@) or has(f2, @F_B@)) then
      usual(id, core, about)
    else
      if not decide(bring_back, id, core, about, fields) then bad = bad + 1 end
    end
    made = made + 1
  end
end
if sets[1] then call('MSET', unpack(sets)) end
for _, about in ipairs(said) do
  if about.ids[1] then
    local queue, kind = about.head.queue, about.head.kind
    local Q = @QUEUE(queue)@
    for k, id in ipairs(about.ids) do call('HSET', Q .. 't:' .. about.entries[k], 'msg', '@MSG@' .. hex(id)) end
    call('LPUSH', Q .. 'pending', unpack(about.entries))
    @RING(queue)@
    add('list:' .. queue, #about.ids)
  end
end
for field, by in pairs(counted) do count(field, by) end
flush()
if n >= 0 then call('SET', P .. 'last', w6(ms) .. w2(n)) end
call('SET', P .. 'restore', int(upto))
return { 'ok', made - bad, bad }
