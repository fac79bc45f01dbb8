-- resend: the callback of a job that has ended is sent once more, from now on, with a new count of attempts. One that is
-- still to be delivered is due now, unless it is being delivered. letters, tenant and owner as cancel has them.
return each(5, function(id, by, letters, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) then return { 'gone' } end
  if j.sy and sub(by, 1, 3) == 'op:' then -- an operation asks once more, for it can't know how far it came
    local last = call('LINDEX', P .. 's:' .. id, -1)
    if last and sub(last, -#by - 1) == ' ' .. by then return { 'ok' } end
  end
  if letters ~= '' and not string.find(letters, letter_of(j), 1, true) then return { 'moved' } end
  local about, due = P .. 'w:' .. id, P .. 'owes:webhook'
  if not j.owes or call('EXISTS', about) == 0 then return { 'none' } end -- others may be after it
  if not TERMINAL[j.s] then return { 'open' } end
  local over, waits, attempts = unpack(call('HMGET', about, 's', 'nx', 'a'))
  if over then
    todo(2, 'HDEL', about, 's', 'e', 'nx', 'd')
    todo(2, 'HSET', about, 'b', attempts or 0)
  end
  if over or waits then todo(2, 'ZADD', due, int(t), id) end
  story(j, 'resend', by)
  put(j)
  return { 'ok' }
end)
