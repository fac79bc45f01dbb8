-- create is the long way of a new job, or finds the one that an idempotency key or a chosen id already names.
-- Texts a job: id; hash of its idempotency key, ''; digest, ''; state; number, family and
-- text of its head; flags and parts that stand behind X in the record, as two texts; payload within, payload
-- apart; run at; expires in; retry of; fence; lease; callback; expiry of an upload in
-- pieces; fence of the upload that it takes over; how long its chosen id stays
-- taken, '0' = it was drawn; who retries, and '1' if another retry is no hindrance; its rare fields, each a name of
-- two letters, the length of its value in two bytes, the value.

local drawn = {} -- idempotency keys of this call → id and digest
local extra -- rare fields of the job that is made now; nil = none
local retried = {} -- jobs that this call has marked → id of the retry, who

-- dead tells that a job ended before its input was whole: it never ran, and never
-- will. It gives the key and the id free that were its client's choice.
local function dead(j) return j.s == 'failed' and j.st == 0 end

-- prior answers for the job that the key or the id names already; nil for a dead
-- one. An upload in one request that is under way becomes the caller's who names
-- the fence that it has: whoever gave up before, and is carried out late, names
-- an older one than a caller since.
local function prior(j, digest, known, fence, from, lease_ms, whose)
  if fence ~= '' and (j.f == fence or j.lf == fence) then return { 'taken', j.id } end -- by this very call
  if dead(j) then
    if hidden(j, unpack(whose)) then return { 'mismatch' } end -- the id was another's first
    return nil
  end
  if known ~= digest then return { 'mismatch' } end
  if j.s ~= 'uploading' or fence == '' then return { 'exists', j.id } end
  local pieces = rare(j, 'ux')
  if pieces or from ~= j.f then return { 'exists', j.id, j.f, pieces and 1 or 0 } end
  j.f = fence
  if j.g then todo(2, 'DEL', P .. 'g:' .. j.id) end
  j.g = false
  lease(j, t + lease_ms)
  move(j, 'uploading')
  bell(j) -- who received until now looks at once, and finds it lost
  return { 'taken', j.id }
end

-- named is prior for the job that the key names. One that is damaged keeps it.
local function named(id, digest, known, ...)
  local ok, other = pcall(load, id)
  if not ok then return known == digest and { 'exists', id } or { 'mismatch' } end
  return other and prior(other, digest, known, ...)
end

-- digest_of is that of the request that made a job; '' where no other could name it.
local function digest_of(j)
  if j.dg then return j.dg end
  local claimed = j.ik and (drawn[j.ik] or call('GET', P .. 'i:' .. j.ik))
  return claimed and sub(claimed, 1, 16) == j.id and sub(claimed, 17) or ''
end

-- clear makes room for another job under the same id, whose rev goes on.
local function clear(j)
  blank[j.id] = true
  forget(j)
  if j.b then -- it is counted anew
    local b, letter = j.b, LETTERS[j.s]
    todo(1, function()
      if not there(b) then return end
      call('HINCRBY', share_of(b), 'n', -1)
      call('HINCRBY', share_of(b), letter, -1)
      redis.pcall('LREM', P .. 'm:' .. b, -1, j.id)
    end)
  end
  for i = #mine, 1, -1 do
    if mine[i][2] == 'SET' and mine[i][3] == P .. 'c:' .. j.id then table.remove(mine, i) end
    if mine[i] and mine[i][1] == 6 then mine[i][1] = 2 end -- before the new one's
  end
  return j.rev
end

-- newest is where the newest job stands, by the streams: a hand has taken its note away, or there was none yet.
local function newest()
  local families, found = {}, w6(0) .. w2(0)
  for _, said in ipairs(call('HVALS', P .. 'heads')) do families[sub(said, 1, 8)] = true end
  for _, field in ipairs(call('HKEYS', P .. 'n')) do
    if #field == 9 then families[sub(field, 1, 8)] = true end
  end
  for family in pairs(families) do
    local about = redis.pcall('XINFO', 'STREAM', P .. 'all:' .. family) -- its newest may be deleted: XADD knows
    for i = 1, about.err and 0 or #about, 2 do
      local ms, n = match(about[i] == 'last-generated-id' and about[i + 1] or '', '^(%d+)-(%d+)$')
      if ms and tonumber(n) < 65536 then
        local at = w6(tonumber(ms)) .. w2(tonumber(n))
        if at > found then found = at end
      end
    end
  end
  return found
end

-- place gives a new job its place: after the newest one, even if TIME went back.
local function place()
  local last = call('GET', P .. 'last')
  if not last or #last ~= 8 then last = newest() end
  local ms, n, was = t, 0, r6(last, 1)
  if was >= t then ms, n = was, r2(last, 7) + 1 end
  if n > 65535 then ms, n = ms + 1, 0 end
  call('SET', P .. 'last', w6(ms) .. w2(n)) -- at once, for the next of this call; an unused place is no harm
  return ms, n
end

-- retry marks the ended job that the new one is a retry of: it stays as it ended, but
-- counts and is found as one that was retried. Another answer than nil hinders the new one.
local function retry(old_id, new_id, by, again)
  local old = load(old_id)
  if not old then return { 'gone' } end
  if not TERMINAL[old.s] then return { 'open' } end
  local just = retried[old_id]
  local newer = just and just[1] or rare(old, 'ra')
  if newer and again ~= '1' then return { 'retried', newer, just and just[2] or rare(old, 'rb') or '' } end
  retried[old_id] = { dashed(new_id), by }
  set_rare(old, 'ra', dashed(new_id))
  set_rare(old, 'rb', by)
  story(old, 'retried', by)
  if old.s == 'failed' and not old.rt then
    local since = call('ZSCORE', index_of(old, LETTERS.failed), old_id)
    todo(1, count, old.head.family .. LETTERS.failed, -1)
    todo(1, count, old.head.family .. '@RETRIED@', 1)
    todo(3, 'ZADD', index_of(old, '@RETRIED@'), since or int(old.fi or t), old_id)
    todo(6, 'ZREM', index_of(old, LETTERS.failed), old_id)
    old.rt = true
  end
  old.rev = raise(old.rev)
  put(old)
  todo(7, old_id .. old.rev .. LETTERS[old.s])
end

-- fields_of are the rare fields of a new job, by their names.
local function fields_of(said)
  local fields, i = {}, 1
  while i < #said do
    local size = r2(said, i + 2)
    fields[sub(said, i, i + 1)] = sub(said, i + 4, i + 3 + size)
    i = i + 4 + size
  end
  return fields
end

local function create(id, hash, digest, state, said, flags, fixed, payload, apart, run_at, expires_in, retry_of, fence, lease_ms, callback,
    pieces_ms, from, chosen, by, again, fields)
  local there, rev = load(id), nil
  local claimed = hash ~= '' and (drawn[hash] or call('GET', P .. 'i:' .. hash))
  local other = claimed and sub(claimed, 1, 16)
  local f2, f3 = byte(flags, 2, 3)
  local head = read_head(sub(said, 17))
  head.family = sub(said, 9, 16)
  local m = has(f2, @F_M@) and sub(fixed, 1, 12) or nil
  local whose = { head.tenant, m or '' }
  local reply = other and other ~= id and named(other, digest, sub(claimed, 17), fence, from, lease_ms, whose) or
    there and prior(there, digest, digest_of(there), fence, from, lease_ms, whose)
  if reply then return reply end
  local b = has(f2, @F_B@) and sub(fixed, 1 + (m and 12 or 0) + (has(f2, @F_T@) and 25 or 0)) or nil
  b = b and sub(b, 1, 16)
  local why = b and no_room(b, head.tenant, m)
  if why then return why end
  fields = fields_of(fields)
  local uk = fields.uk
  reply = uk and among(uk, id, said, head, payload, apart, run_at)
  if reply then return reply end
  if there and there.owes and call('ZSCORE', P .. 'owes:after', id) then return { 'claimed' } end -- others are still to hear of it
  if there then
    rev = clear(there)
  elseif chosen ~= '0' and call('EXISTS', P .. 'c:' .. id) == 1 then
    return { 'claimed' }
  end
  if retry_of ~= '' then
    local hindered = retry(retry_of, id, by, again)
    if hindered then return hindered end
  end
  local ms, n = place()
  local j = { id = id, s = '', code = sub(said, 1, 8), rev = rev or '\0\0\0\0', d = 0, a = 0, ls = 0, created = ms, entry = w6(ms) .. w2(n),
    st = 0, f = fence, lf = '', fixed = fixed, payload = payload, f2 = f2, g = false, v = false, p = apart ~= '', owes = callback ~= '' }
  local known = call('HGET', P .. 'heads', j.code)
  j.head, j.m = head, m
  if known ~= sub(said, 9) then
    if head.tenant ~= '@TENANT@' then -- its families, which the table may have no room for
      call('SADD', P .. 'tenants', head.tenant)
      call('HSET', P .. 'n:' .. head.tenant, head.family, head.kind)
    end
    if known or call('HLEN', P .. 'heads') >= @MAX_HEADS@ then
      j.inline, j.code = true, '\0\0\0\0\0\0\0\0'
      j.fixed = fixed .. j.head.family .. char(#said - 16) .. sub(said, 17)
    else
      call('HSET', P .. 'heads', j.code, sub(said, 9)) -- at once: what is made of its text is right without a job too
    end
  end
  if expires_in ~= '0' then j.x = t + expires_in end
  if hash ~= '' then
    drawn[hash] = id .. digest
    todo(2, 'SET', P .. 'i:' .. hash, id .. digest)
  end
  if j.p then todo(2, 'SET', P .. 'p:' .. id, apart) end
  if tonumber(chosen) > @CLAIM@ then todo(2, 'SET', P .. 'c:' .. id, '1', 'PX', chosen) end
  if retry_of ~= '' then set_rare(j, 'ro', dashed(retry_of)) end
  for name, value in pairs(extra or {}) do set_rare(j, name, value) end
  for name, value in pairs(fields) do set_rare(j, name, value) end
  if b then
    j.b = b
    todo(1, joined, b, id)
  end
  if is_batch(j) then todo(2, 'HSET', P .. 'b:' .. id, 'o', head.tenant .. (m and '\0' .. m or '')) end
  if uk then
    uniques[sub(uk, 3, 18)] = id
    todo(2, 'SET', P .. 'k:' .. sub(uk, 3, 18), id)
  end
  if uk or rare(j, 'lm') or rare(j, 'di') then j.owes = true end
  if callback ~= '' then todo(2, 'HSET', P .. 'w:' .. id, 'u', callback) end
  todo(3, 'XADD', P .. 'all:' .. j.head.family, int(ms) .. '-' .. n, 'j', id)
  if m then todo(3, 'ZADD', P .. 'own', 0, m .. id) end
  if run_at ~= '0' then j.at = number(run_at) end
  if state == 'queued' then
    enqueue(j)
  elseif state == 'scheduled' then
    schedule(j, 'scheduled', j.at)
  elseif state == 'waiting' then
    wait(j)
  else
    if pieces_ms ~= '0' then -- no process holds a lease: it is looked at until its end
      set_rare(j, 'ux', int(t + pieces_ms))
      look_at(j, t + @LOOK@)
    else
      lease(j, t + lease_ms)
      if j.x then look_at(j) end
    end
    move(j, 'uploading')
  end
  return { 'created', j.d, rev and '' or int(ms), ms }
end
