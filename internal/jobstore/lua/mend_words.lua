-- mend plans what indexes and queues must have of a job, where it isn't there, and tells how much that was.
-- ended tells whether the job is in a list of ended ones: '1', '0'; listed which delivery of it waits in a
-- queue, '0' = none. '' = not known, and looked for by keys alone.
local function score(key, id)
  local said = redis.pcall('ZSCORE', key, id)
  return type(said) ~= 'table' and said -- a key of another type has nobody
end

-- in_ends tells whether a list has the job in which it is looked at once its retention is over.
local function in_ends(over, step)
  local due = int(floor((over + step - 1) / step) * step / 1000)
  if call('EXISTS', P .. 'end:' .. due) == 0 then return false end
  if not score(P .. 'ends', due) then todo(2, 'ZADD', P .. 'ends', due, due) end
  return true
end

local function mend_ended(j, ended)
  local ret, before = retention(j), #mine
  local step = ret < 600000 and 1000 or 60000
  local over = (j.fi or 0) + ret
  if ended == '0' or ended == '' and not in_ends(over, step) then end_at(j.id, math.max(over, t), step) end
  local about = P .. 'w:' .. j.id
  if j.owes and call('EXISTS', about) == 1 and call('HEXISTS', about, 's') == 0 and not score(P .. 'owes:webhook', j.id) then
    todo(2, 'ZADD', P .. 'owes:webhook', int(t), j.id)
  end
  if erases(j, j.s) and not rare(j, 'ig') and not score(P .. 'owes:input', j.id) then todo(2, 'ZADD', P .. 'owes:input', int(t), j.id) end
  if j.owes and call('EXISTS', P .. 'd:' .. j.id) == 1 and not score(P .. 'owes:after', j.id) then
    todo(2, 'ZADD', P .. 'owes:after', int(t), j.id)
  end
  return #mine - before
end

local function mend_ticket(j, listed)
  if named(j.head.queue) and not score(P .. 'queues', j.head.queue) then todo(2, 'ZADD', P .. 'queues', int(t), j.head.queue) end
  local key = @QUEUE(j.head.queue)@ .. 't:' .. entry_of(j)
  local kind = call('TYPE', key).ok
  local there = kind == 'hash'
  local archived = there and call('HEXISTS', key, 'state') == 1
  if listed ~= '' and tonumber(listed) == j.d and not archived then
    if not there then
      if kind ~= 'none' then todo(5, 'DEL', key) end
      todo(5, 'HSET', key, 'msg', '@MSG@' .. hex(j.id))
    end
    return
  end
  if listed == '' and there and not archived then return end
  if kind ~= 'none' then
    todo(6, 'UNLINK', key)
    todo(6, 'ZREM', @QUEUE(j.head.queue)@ .. 'archived', entry_of(j))
  end
  j.d = j.d >= 65535 and 2 or j.d + 1
  put(j)
  push(j)
end

-- mend_tenant gives lists what they find a tenant's families by. It writes at once, as create does: that is
-- right without the job too, and one look a family and call is enough.
local told = {}
local function mend_tenant(head)
  if head.tenant == '@TENANT@' or told[head.family] then return 0 end
  told[head.family] = true
  local families = P .. 'n:' .. head.tenant
  if redis.pcall('SISMEMBER', P .. 'tenants', head.tenant) == 1 and redis.pcall('HGET', families, head.family) == head.kind then
    return 0
  end
  side('SADD', P .. 'tenants', head.tenant)
  side('HSET', families, head.family, head.kind)
  return 1
end

local function mend(j, lease_ms, ended, listed)
  local before = #mine - mend_tenant(j.head)
  if j.m and not score(P .. 'own', j.m .. j.id) then todo(3, 'ZADD', P .. 'own', 0, j.m .. j.id) end
  if RARE[j.s] and not score(index_of(j, letter_of(j)), j.id) then
    todo(3, 'ZADD', index_of(j, letter_of(j)), int(j.fi and j.fi > 0 and j.fi or j.created), j.id)
  end
  if score(P .. 'aside', j.id) then todo(6, 'ZREM', P .. 'aside', j.id) end
  local seen, pieces = score(P .. 'when', j.id), j.s == 'uploading' and rare(j, 'ux')
  if TERMINAL[j.s] then
    mend_ended(j, ended)
  elseif j.s == 'queued' then
    if j.x and not seen then look_at(j) end
    mend_ticket(j, listed)
  elseif j.s == 'running' or j.s == 'uploading' and not pieces then
    if not score(P .. 'lease', j.id) then lease(j, t + lease_ms) end
    if j.x and j.st == 0 and not seen then look_at(j) end
  elseif j.s == 'waiting' then
    local soon = ready(j) or is_batch(j) or open_after(rare(j, 'af'))
    if (soon or j.x) and not seen then look_at(j, soon and t or nil) end
  elseif not seen then
    look_at(j, pieces and t + @LOOK@ or j.at or t)
  end
  return #mine - before
end
