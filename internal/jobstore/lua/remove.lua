-- remove: forgets a job that has ended.
return each(0, function(key)
  local j = load(key)
  if not j then return { 'gone' } end
  if not TERMINAL[j.s] then return { 'open' } end
  remove(j)
  return { 'ok' }
end)
