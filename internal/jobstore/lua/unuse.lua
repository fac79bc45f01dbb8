-- unuse: a job needs this one's files no more. since is the registration that
-- the caller saw ('' for any), min_age how old it must be. What retention is
-- overdue is due now, once the last user is gone.
return each(4, function(id, user, since, min_age)
  local key = P .. 'u:' .. id
  local seen = call('HGET', key, user)
  if not seen then return { 'ok' } end
  if since ~= '' and seen ~= since or t - number(seen) < number(min_age) then return { 'kept' } end
  call('HDEL', key, user)
  if call('EXISTS', key) == 0 then
    local there = load(id)
    if there and TERMINAL[there.s] and overdue(there) > 0 then end_at(id, t, 1000) end
  end
  return { 'ok' }
end)
