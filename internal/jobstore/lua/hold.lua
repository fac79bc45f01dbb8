-- hold: the caller knows of its claims and keeps them, each for a lease.
return each(3, function(id, claim, lease_ms)
  local about = P .. 'w:' .. id
  local c, ended = unpack(call('HMGET', about, 'c', 's'))
  if not c then return { 'gone' } end
  if ended or c ~= claim then return { 'stale' } end
  call('HSET', about, 'd', lease_ms)
  call('ZADD', P .. 'owes:webhook', int(t + lease_ms), id)
  return { 'ok' }
end)
