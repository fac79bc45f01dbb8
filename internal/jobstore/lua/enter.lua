-- enter: a job of a tenant is after this one, and wants to hear of its end. Answers how it has ended, if it has.
return each(3, function(id, successor, tenant)
  local j = load(id)
  if not j or j.head.tenant ~= tenant then return { 'ended', 'g' } end
  if TERMINAL[j.s] then return { 'ended', LETTERS[j.s] } end
  todo(2, 'ZADD', P .. 'd:' .. id, 'NX', int(t), successor)
  if not j.owes then
    j.owes = true
    put(j)
  end
  return { 'ok' }
end)
