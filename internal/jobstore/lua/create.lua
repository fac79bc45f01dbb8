-- create: a new job, or the one that an idempotency key or a chosen id already names.
return each(17, function(key, t, kind, queue, state, run_at, expires_in, timeout, attempts, retention,
                         retry_of, claim, digest, claim_ms, fence, lease_ms, spec, callback, pieces_ms)
  local j = at(key)
  if claim ~= '' then
    local prior = redis.call('GET', j.base .. 'i:' .. claim)
    if prior and prior ~= j.id then
      local other = redis.call('HGET', j.base .. 'j:' .. prior, 'ih')
      if other and other ~= digest then return { 'mismatch' } end
      if other then return { 'exists', prior } end
    end
  end
  local there = load(key)
  if there then
    if redis.call('HGET', key, 'ih') ~= digest then return { 'mismatch' } end
    if fence ~= '' and (there.f == fence or there.lf == fence) then return { 'created', there.d } end
    return { 'exists', j.id, there.d }
  end
  if number(claim_ms) > 0 and not redis.call('SET', j.base .. 'c:' .. j.id, '1', 'NX', 'PX', claim_ms) then
    return { 'claimed' }
  end
  if claim ~= '' then redis.call('SET', j.base .. 'i:' .. claim, j.id) end
  if spec ~= '' then redis.call('SET', j.base .. 'p:' .. j.id, spec) end
  redis.call('ZADD', j.base .. 'ids', '0', j.id)

  local fields = { 'v', VERSION, 'd', state == 'queued' and '1' or '0', 'a', '0', 'q', queue, 't', kind, 'm', attempts,
    'c', t, 'to', timeout, 'rt', retention, 'ih', digest }
  local function add(name, value)
    if value ~= '' and value ~= '0' then
      fields[#fields + 1], fields[#fields + 2] = name, value
    end
  end
  add('ik', claim) add('ro', retry_of) add('at', run_at) add('f', fence)
  if callback ~= '' then
    redis.call('HSET', j.base .. 'w:' .. j.id, 'u', callback)
    add('cb', '1')
  end
  if number(expires_in) > 0 then
    j.x = t + expires_in
    add('x', j.x)
  end
  j.s, j.n = '', 0
  local due = t + LOOK
  if state == 'scheduled' then due = number(run_at) end
  if state == 'uploading' and number(pieces_ms) > 0 then
    redis.call('HSET', key, 'ux', t + pieces_ms) -- no lease: it is looked at until then
  elseif state == 'uploading' then
    due = t + LOOK_MAX
    redis.call('ZADD', j.base .. 'leases', t + lease_ms, j.id)
  end
  look_at(j, due)
  move(j, state, unpack(fields))
  return { 'created', state == 'queued' and 1 or 0 }
end)
