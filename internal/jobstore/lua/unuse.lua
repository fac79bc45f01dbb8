-- unuse: a job needs this one's files no more. since is the registration that
-- the caller saw ('' for any), min_age how old it must be. What retention is
-- overdue is due now, once the last user is gone.
return each(3, function(key, t, user, since, min_age)
  local j = at(key)
  local seen = call('HGET', users(j), user)
  if not seen then return { 'ok' } end
  if since ~= '' and seen ~= since or t - number(seen) < number(min_age) then return { 'kept' } end
  call('HDEL', users(j), user)
  if call('EXISTS', users(j)) == 0 then
    local there = load(key)
    if there and TERMINAL[there.s] and overdue(there, t) > 0 then call('ZADD', j.base .. 'due', t, j.id) end
  end
  return { 'ok' }
end)
