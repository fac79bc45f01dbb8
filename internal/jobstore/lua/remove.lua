-- remove: forgets a job that has ended and whose files nobody uses. letters are those under which it may
-- be counted, '' = any.
return each(4, function(id, letters, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) then return { 'gone' } end
  if letters ~= '' and not string.find(letters, letter_of(j), 1, true) then return { 'moved' } end
  if not TERMINAL[j.s] then return { 'open' } end
  if call('EXISTS', users(j)) == 1 or j.owes and call('ZSCORE', P .. 'owes:after', id) then return { 'used' } end
  forget(j)
  return { 'ok', is_batch(j) and 1 or 0 }
end)
