-- use: an open job, or one that is about to be made, works on this one's
-- files, what is 'input' or 'output': they stay until it has ended. Once ended, this one never changes
-- but for its input, which may go, so what the caller read of it before still holds.
return each(5, function(id, user, what, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) then return { 'gone' } end
  if not TERMINAL[j.s] and not is_batch(j) then return { 'open' } end
  if what == 'input' and rare(j, 'ig') then return { 'erased' } end
  todo(2, 'HSET', users(j), user, int(t))
  return { 'ok' }
end)
