-- stop cancels a job that hasn't ended. What doesn't run ends now; what runs gets a flag, a doorbell and a
-- lease that ends soon, so that it ends even if its worker hears nothing. The
-- doorbell also rings at the web process that receives an upload.
local function stop(j, cap, by)
  if by ~= '' and not j.cr then story(j, 'cancel', by) end
  if j.s == 'waiting' and is_batch(j) then
    if not j.cr then stop_batch(j, 'canceled') end
    return
  end
  if j.s ~= 'running' then
    if j.s == 'uploading' then bell(j) end
    finish(j, 'canceled')
    return
  end
  if not j.cr then
    j.cr = true
    move(j, 'running')
    if is_claimed(j.f) then cap = @CLAIM_CAP@ end
    local ends = call('ZSCORE', P .. 'lease', j.id)
    if not ends or tonumber(ends) > t + cap then lease(j, t + cap) end
  end
  bell(j)
end
