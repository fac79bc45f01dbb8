-- logged: the log of a run is stored as a blob; the list of it goes. rev stays: nothing of the job has changed.
return each(4, function(id, delivery, run, most)
  local j = load(id)
  if not j then return { 'gone' } end
  local runs = {}
  for one in string.gmatch(rare(j, 'lg') or '', '%S+') do
    if match(one, '^%d+') ~= delivery then runs[#runs + 1] = one end -- else it is said once more
  end
  runs[#runs + 1] = run
  set_rare(j, 'lg', table.concat(runs, ' ', math.max(1, #runs - number(most) + 1)))
  put(j)
  todo(6, 'UNLINK', P .. 'l:' .. id .. ':' .. delivery)
  todo(7, function() call('PUBLISH', '@PREFIX@:logs', id) end)
  return { 'ok' }
end)
