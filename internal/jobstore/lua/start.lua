-- start: takes one job, by its id and delivery, under a fence. The same fence again is the
-- same start and renews its lease. suspects is how many young runs in a row a suspect may
-- have lost to be started: beyond that it needs more room than the caller has
-- (suspects.go). types are those that the caller serves; '' = all.
return each(6, function(id, delivery, fence, lease_ms, suspects, types)
  local j = load(id)
  if not j then return { 'gone' } end
  if not (j.s == 'running' and j.f == fence) then
    if j.s ~= 'queued' or j.d ~= number(delivery) then return { 'stale' } end
    if j.x and j.st == 0 and j.x <= t then
      finish(j, 'expired')
      return { 'stale' }
    end
    if types ~= '' and not string.find(types, ' ' .. j.head.kind .. ' ', 1, true) then return { 'unserved', j.head.kind } end
    if j.ls >= @SUSPECT@ and j.ls > number(suspects) then return { 'suspect', j.head.kind } end
    unlook(j)
    j.f, j.st = fence, t
    move(j, 'running')
  end
  if not j.cr then lease(j, t + lease_ms) end
  return { 'ok', own[id] or read(id), j.p and call('GET', P .. 'p:' .. id) or '', j.g and call('GET', P .. 'g:' .. id) or '', rare(j, 'af') or '' }
end)
