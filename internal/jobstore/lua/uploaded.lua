-- uploaded: the input is whole; the job may run.
return each(4, function(id, fence, spec, progress)
  local j = load(id)
  if not j then return { 'gone' } end
  if j.lf == fence then return { 'ok', j.s, ticket(j) } end
  if j.s ~= 'uploading' or j.f ~= fence then return { 'lost' } end
  j.lf = fence
  todo(2, 'SET', P .. 'p:' .. id, spec)
  todo(2, 'SET', P .. 'g:' .. id, progress)
  j.p, j.g, j.payload = true, true, ''
  local run_at = j.at or 0
  if not ready(j) then
    unlease(j)
    j.f = ''
    wait(j)
  elseif run_at > t then
    schedule(j, 'scheduled', run_at)
  else
    enqueue(j)
  end
  return { 'ok', j.s, ticket(j) }
end)
