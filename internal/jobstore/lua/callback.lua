-- callback: how far the delivery of a job's callback is.
return each(3, function(id, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) then return { 'gone' } end
  if not j.owes then return { 'none' } end
  return { 'ok', j.s, call('HGETALL', P .. 'w:' .. id) }
end)
