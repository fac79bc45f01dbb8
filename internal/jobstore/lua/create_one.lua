-- create_one: a new job, or the one that an idempotency key or a chosen id already
-- names. Per job: its head (expires_at left out), what it is to do, and the
-- rest, '' for a job that is to be queued at once and has nothing special:
-- state, run at, expires in, retry of, key, digest, claim of the id, fence,
-- lease, callback, expiry of an upload in pieces, fence of the upload that it
-- takes over, a line each. One that has an
-- idempotency key and nothing else: '=', the key's 32 digits, the digest.
local REST = '^' .. string.rep('([^\n]*)\n', 11) .. '([^\n]*)$'

-- dead tells that a job ended before its input was whole: it never ran, and never
-- will. It gives the key and the id free that were its client's choice.
local function dead(j) return j.s == 'failed' and not j.st end

-- prior answers for the job that the key or the id names already; nil for a dead
-- one. An upload in one request that is under way becomes the caller's who names
-- the fence that it has: whoever gave up before, and is carried out late, names
-- an older one than a caller since.
local function prior(j, t, digest, fence, from, lease_ms)
  if fence ~= '' and (j.f == fence or j.lf == fence) then return { 'taken', j.id } end -- by this very call
  if dead(j) then return nil end
  if (call('HGET', j.key, 'ih') or '') ~= digest then return { 'mismatch' } end
  if j.s ~= 'uploading' or fence == '' then return { 'exists', j.id } end
  local pieces = call('HEXISTS', j.key, 'ux') == 1
  if pieces or from ~= j.f then return { 'exists', j.id, j.f, pieces and 1 or 0 } end
  j.f = fence
  call('DEL', j.base .. 'g:' .. j.id)
  gather(added, j.base .. 'leases', text[t + lease_ms], j.id)
  move(j, 'uploading')
  call('PUBLISH', PREFIX .. ':cancel', j.id) -- who received until now looks at once, and finds it lost
  return { 'taken', j.id }
end

-- named is prior for the job that the key names. One that is damaged keeps it.
local function named(j, t, id, digest, ...)
  local key = j.base .. 'j:' .. id
  local ok, other = pcall(load, key)
  if not ok then
    return (call('HGET', key, 'ih') or '') == digest and { 'exists', id } or { 'mismatch' }
  end
  local reply = other and prior(other, t, digest, ...)
  if other and not reply then call('HDEL', key, 'ik') end -- its removal must leave the key to the new job
  return reply
end

-- clear makes room for another job under the same id, whose rev goes on.
local function clear(j)
  call('DEL', j.key)
  for _, kind in ipairs({ 'p:', 'r:', 'g:', 'e:', 'w:', 'u:' }) do call('DEL', j.base .. kind .. j.id) end
  call('ZREM', j.base .. 'callbacks', j.id)
  return j.n
end

local function one(key, t, head, spec, rest)
  local there, rev = call('EXISTS', key) == 1 and load(key), 0
  local j = at(key)
  local state, run_at, expires_in, retry_of, claim, digest, claim_ms, fence, lease_ms, callback, pieces_ms, from =
    'queued', '0', '0', '', '', '', '0', '', '0', '', '0', ''
  if sub(rest, 1, 1) == '=' then
    claim, digest = sub(rest, 2, 33), sub(rest, 34)
  elseif rest ~= '' then
    state, run_at, expires_in, retry_of, claim, digest, claim_ms, fence, lease_ms, callback, pieces_ms, from = match(rest, REST)
  end
  local id = claim ~= '' and call('GET', j.base .. 'i:' .. claim)
  local reply = id and id ~= j.id and named(j, t, id, digest, fence, from, lease_ms) or
    there and prior(there, t, digest, fence, from, lease_ms)
  if reply then return reply end
  if there then
    rev = clear(there)
  elseif claim_ms ~= '0' and not call('SET', j.base .. 'c:' .. j.id, '1', 'NX', 'PX', claim_ms) then
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
  j.s, j.n, j.d, j.a, j.ls, j.f, j.lf = '', rev, state == 'queued' and 1 or 0, 0, 0, fence, ''
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
  return { 'created', j.d, rev == 0 and text[t] or nil }
end
