-- callback: how far the delivery of a job's callback is.
return each(3, function(id, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) then return { 'gone' } end
  if not j.owes or call('EXISTS', P .. 'w:' .. id) == 0 then return { 'none' } end -- others may be after it
  return { 'ok', j.s, call('HGETALL', P .. 'w:' .. id) }
end)
