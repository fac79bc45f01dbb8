-- use: an open job, or one that is about to be made, works on this one's
-- files: they stay until it has ended. Once ended, this one never changes, so
-- what the caller read of it before still holds.
return each(1, function(key, t, user)
  local j = load(key)
  if not j then return { 'gone' } end
  if not TERMINAL[j.s] then return { 'open' } end
  call('HSET', users(j), user, t)
  return { 'ok' }
end)
