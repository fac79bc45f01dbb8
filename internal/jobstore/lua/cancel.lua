-- cancel: what doesn't run ends now; what runs gets a flag, a doorbell and a
-- lease that ends soon, so that it ends even if its worker hears nothing. The
-- doorbell also rings at the web process that receives an upload.
return each(1, function(key, t, cap)
  local j = load(key)
  if not j then return { 'gone' } end
  if TERMINAL[j.s] then return { 'ended' } end
  if j.s ~= 'running' then
    local receiving = j.s == 'uploading'
    finish(j, t, 'canceled')
    if receiving then call('PUBLISH', PREFIX .. ':cancel', j.id) end
    return { 'ok' }
  end
  if not j.cr then
    j.cr = true
    move(j, 'running')
    local ends = call('ZSCORE', j.base .. 'leases', j.id)
    if not ends or tonumber(ends) > t + cap then call('ZADD', j.base .. 'leases', t + cap, j.id) end
  end
  call('PUBLISH', PREFIX .. ':cancel', j.id)
  return { 'ok' }
end)
