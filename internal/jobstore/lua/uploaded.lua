-- uploaded: the input is whole; the job may run.
return each(3, function(key, t, fence, spec, progress)
  local j = load(key)
  if not j then return { 'gone' } end
  if j.lf == fence then return { 'ok', j.s, ticket(j) } end
  if j.s ~= 'uploading' or j.f ~= fence then return { 'lost' } end
  j.lf = fence
  call('SET', j.base .. 'p:' .. j.id, spec)
  call('SET', j.base .. 'g:' .. j.id, progress)
  local run_at = number(call('HGET', key, 'at') or 0)
  if run_at > t then
    schedule(j, 'scheduled', run_at)
  else
    enqueue(j, t)
  end
  return { 'ok', j.s, ticket(j) }
end)
