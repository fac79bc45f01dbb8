-- cancel: what doesn't run ends now; what runs gets a flag, a doorbell and a
-- lease that ends soon, so that it ends even if its worker hears nothing.
return each(1, function(key, t, cap)
  local j = load(key)
  if not j then return { 'gone' } end
  if TERMINAL[j.s] then return { 'ended' } end
  if j.s ~= 'running' then
    finish(j, t, 'canceled')
    return { 'ok' }
  end
  if not j.cr then
    move(j, 'running', 'cr', '1')
    local ends = redis.call('ZSCORE', j.base .. 'leases', j.id)
    if not ends or tonumber(ends) > t + cap then redis.call('ZADD', j.base .. 'leases', t + cap, j.id) end
  end
  redis.call('PUBLISH', prefix(key) .. ':cancel', j.id)
  return { 'ok' }
end)
