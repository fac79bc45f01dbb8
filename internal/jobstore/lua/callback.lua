-- callback: how far the delivery of a job's callback is.
return each(0, function(key)
  local j = load(key)
  if not j then return { 'gone' } end
  if not j.cb then return { 'none' } end
  return { 'ok', j.s, call('HGETALL', j.base .. 'w:' .. j.id) }
end)
