-- hold: the caller knows of its claims and keeps them, each for a lease.
return each(2, function(key, t, claim, lease_ms)
  local j = at(key)
  local about = j.base .. 'w:' .. j.id
  local c, ended = unpack(call('HMGET', about, 'c', 's'))
  if not c then return { 'gone' } end
  if ended or c ~= claim then return { 'stale' } end
  call('HSET', about, 'd', lease_ms)
  call('ZADD', j.base .. 'callbacks', t + lease_ms, j.id)
  return { 'ok' }
end)
