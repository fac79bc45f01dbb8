-- uploaded: the input is whole; the job may run.
return each(3, function(key, t, fence, spec, progress)
  local j = load(key)
  if not j then return { 'gone' } end
  if j.lf == fence then return { 'ok', j.s, ticket(j) } end
  if j.s ~= 'uploading' or j.f ~= fence then return { 'lost' } end
  redis.call('SET', j.base .. 'p:' .. j.id, spec)
  redis.call('SET', j.base .. 'g:' .. j.id, progress)
  if j.at and j.at > t then
    schedule(j, 'scheduled', j.at, 'lf', fence)
  else
    enqueue(j, t, 'lf', fence)
  end
  return { 'ok', j.s, ticket(j) }
end)
