-- erase: the input of an ended job goes before its record. what is 'file' for the job whose file it is: nobody may need it
-- any more, which is noted before it is deleted, so that nobody takes it up. 'done' is for the job at whose end it goes.
return each(2, function(id, what)
  local j = load(id)
  if what == 'done' then todo(6, 'ZREM', P .. 'owes:input', id) end
  if not j then return { 'gone' } end
  if not TERMINAL[j.s] then return { 'open' } end
  if what == 'file' and call('EXISTS', users(j)) == 1 then return { 'used' } end
  if not rare(j, 'ig') then
    set_rare(j, 'ig', int(t))
    move(j, j.s)
  end
  return { 'ok' }
end)
