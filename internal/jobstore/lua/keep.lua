-- keep: who claimed jobs over HTTP still works on them. Six texts a job: id; fence; lease (ms); progress, '' = no news; whose
-- jobs the asker sees, a tenant and an owner's code, '' = all. No lease goes beyond the timeout, at which the sweep ends the attempt.
return each(6, function(id, fence, lease_ms, progress, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) or j.s ~= 'running' or j.f ~= fence then return { 'lost' } end
  local left = j.st + j.head.timeout - t
  if left <= 0 then return { 'timeout' } end
  if not j.cr then
    left = math.min(left, number(lease_ms))
    lease(j, t + left)
  end
  if progress ~= '' then
    todo(2, 'SET', P .. 'g:' .. id, progress)
    j.g = true
    move(j, 'running')
  end
  if j.cr then return { 'cancel' } end
  return { 'ok', left }
end)
