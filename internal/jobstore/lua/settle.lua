-- settle: what became of a callback that was claimed.
--   delivered, failed  for good
--   retry              again after delay
--   release            again after delay; it was not tried
-- The claim's number is a fence: each claim and each settlement raises it, so
-- that one that comes late or twice does nothing.
return each(7, function(id, claim, outcome, delay, status, code, answer)
  local about, due = P .. 'w:' .. id, P .. 'owes:webhook'
  local c, ended = unpack(call('HMGET', about, 'c', 's'))
  if not c then return { 'gone' } end
  if ended or c ~= claim then return { 'stale' } end
  call('HINCRBY', about, 'c', 1)
  if outcome ~= 'release' then
    local try = call('HINCRBY', about, 'a', 1)
    call('HSET', about, 'y' .. try, int(t) .. ' ' .. status .. ' ' .. (code == '' and '-' or code) .. ' ' .. answer)
    call('HDEL', about, 'y' .. int(try - @MAX_TRIES@))
    call('HSET', about, 'la', int(t), 'ls', status, 'le', code)
  end
  if outcome == 'retry' or outcome == 'release' then
    call('HSET', about, 'nx', int(t + delay), 'd', delay)
    call('ZADD', due, int(t + delay), id)
  else
    call('HSET', about, 's', outcome, 'e', int(t))
    call('ZREM', due, id)
  end
  return { 'ok' }
end)
