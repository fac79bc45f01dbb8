-- start: a worker takes the job that its ticket names. The same fence again is
-- the same start and renews its lease.
return each(4, function(key, t, delivery, fence, lease_ms, suspects)
  local j = load(key)
  if not j then return { 'gone' } end
  local again = j.s == 'running' and j.f == fence
  if not again then
    if j.s ~= 'queued' or j.d ~= number(delivery) then return { 'stale' } end
    if j.x and not j.st and j.x <= t then
      finish(j, t, 'expired')
      return { 'stale' }
    end
    if j.ls >= SUSPECT and suspects ~= '1' then return { 'suspect' } end
    move(j, 'running', 'f', fence, 'st', t) -- its next look finds it running and goes far ahead
  end
  if not j.cr then redis.call('ZADD', j.base .. 'leases', t + lease_ms, j.id) end
  return { 'ok', j.t, j.a + 1, j.m, j.to, j.ls, j.cr and 1 or 0,
    redis.call('GET', j.base .. 'p:' .. j.id) or '' }
end)
