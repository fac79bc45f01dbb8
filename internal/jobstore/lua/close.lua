-- close: no more jobs may come into a batch; by is who says so. A second time it changes nothing.
return each(4, function(id, by, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) then return { 'gone' } end
  if not is_batch(j) then return { 'other' } end
  if j.s ~= 'waiting' or rare(j, 'ba') ~= 'open' then return { 'ok' } end
  set_rare(j, 'ba', 'closed')
  if by ~= '' then story(j, 'closed', by) end
  move(j, 'waiting')
  seal(id)
  return { 'ok' }
end)
