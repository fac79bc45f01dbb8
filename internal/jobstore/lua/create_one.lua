-- create_one: a new job, or the one that an idempotency key or a chosen id already
-- names. Per job: its head (expires_at left out), what it is to do, and the
-- rest, '' for a job that is to be queued at once and has nothing special:
-- state, run at, expires in, retry of, key, digest, claim of the id, fence,
-- lease, callback, expiry of an upload in pieces, a line each. One that has an
-- idempotency key and nothing else: '=', the key's 32 digits, the digest.
local REST = '^' .. string.rep('([^\n]*)\n', 10) .. '([^\n]*)$'
local function one(key, t, head, spec, rest)
  local there = call('EXISTS', key) == 1 and load(key)
  local j = at(key)
  local state, run_at, expires_in, retry_of, claim, digest, claim_ms, fence, lease_ms, callback, pieces_ms =
    'queued', '0', '0', '', '', '', '0', '', '0', '', '0'
  if sub(rest, 1, 1) == '=' then
    claim, digest = sub(rest, 2, 33), sub(rest, 34)
  elseif rest ~= '' then
    state, run_at, expires_in, retry_of, claim, digest, claim_ms, fence, lease_ms, callback, pieces_ms = match(rest, REST)
  end
  if claim ~= '' then
    local prior = call('GET', j.base .. 'i:' .. claim)
    if prior and prior ~= j.id then
      local other = call('HGET', j.base .. 'j:' .. prior, 'ih')
      if other and other ~= digest then return { 'mismatch' } end
      if other then return { 'exists', prior } end
    end
  end
  if there then
    if (call('HGET', key, 'ih') or '') ~= digest then return { 'mismatch' } end
    if fence ~= '' and (there.f == fence or there.lf == fence) then return { 'created', there.d } end
    return { 'exists', j.id, there.d }
  end
  if claim_ms ~= '0' and not call('SET', j.base .. 'c:' .. j.id, '1', 'NX', 'PX', claim_ms) then
    return { 'claimed' }
  end
  if claim ~= '' then call('SET', j.base .. 'i:' .. claim, j.id) end
  local within = #spec <= SHORT and state ~= 'uploading' -- whose spec changes, and gets long
  if spec ~= '' and not within then call('SET', j.base .. 'p:' .. j.id, spec) end
  gather(added, j.base .. 'ids', '0', j.id)

  if expires_in ~= '0' then
    j.x = t + expires_in
    head = match(head, '^%S+ %S+ %S+ %S+ %S+') .. ' ' .. text[j.x] .. match(head, ' %d %S+$')
  end
  j.s, j.n, j.d, j.a, j.ls, j.f, j.lf = '', 0, state == 'queued' and 1 or 0, 0, 0, fence, ''
  local due = t + LOOK
  if state == 'scheduled' then due = number(run_at) end
  if state == 'uploading' and pieces_ms == '0' then -- one in pieces has no lease: it is looked at until its end
    due = t + LOOK_MAX
    gather(added, j.base .. 'leases', text[t + lease_ms], j.id)
  end
  local look = push and state == 'queued' and look_some_time or look_at
  look(j, due)
  local fields = { 'h', head, 'c', text[t] }
  local function add(name, value)
    if value ~= '' and value ~= '0' then
      fields[#fields + 1], fields[#fields + 2] = name, value
    end
  end
  add('ih', digest) add('ik', claim) add('p', within and spec or '') add('ro', retry_of) add('at', run_at)
  if pieces_ms ~= '0' then add('ux', text[t + pieces_ms]) end
  if callback ~= '' then call('HSET', j.base .. 'w:' .. j.id, 'u', callback) end
  move(j, state, unpack(fields))
  if push and state == 'queued' then push(match(head, '^%S+ (%S+)'), j.id, 1, t) end
  return { 'created', j.d, text[t] }
end
