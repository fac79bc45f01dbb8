-- read: all of a record, in one moment.
return each(1, function(key, t, with_spec)
  local j = load(key)
  if not j then return { 'gone' } end
  local reply = { 'ok', call('HGETALL', key),
    call('GET', j.base .. 'r:' .. j.id) or '',
    call('GET', j.base .. 'g:' .. j.id) or '',
    call('LRANGE', j.base .. 'e:' .. j.id, 0, -1) }
  if with_spec == '1' then reply[6] = call('GET', j.base .. 'p:' .. j.id) or '' end
  return reply
end)
