-- remove: forgets a job that has ended and whose files nobody uses.
return each(0, function(key)
  local j = load(key)
  if not j then return { 'gone' } end
  if not TERMINAL[j.s] then return { 'open' } end
  if call('EXISTS', users(j)) == 1 then return { 'used' } end
  remove(j)
  return { 'ok' }
end)
