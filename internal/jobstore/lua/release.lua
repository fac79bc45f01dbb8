-- release: a job that is held may go. Who asks again is told yes again.
return each(4, function(id, by, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) then return { 'gone' } end
  if not rare(j, 'ho') then return { 'free' } end
  if not rare(j, 'hr') then
    if TERMINAL[j.s] then return { 'ended' } end
    set_rare(j, 'hr', int(t) .. ' ' .. by)
    story(j, 'released', by)
  elseif j.s ~= 'waiting' or not ready(j) then
    return { 'ok' }
  end
  if j.s == 'waiting' and ready(j) then go(j) else move(j, j.s) end
  return { 'ok' }
end)
