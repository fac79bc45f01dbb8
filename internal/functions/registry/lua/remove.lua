-- remove: a type is deployed no more. Its numbers go on where they were, should it come back.
-- KEYS: P:functions. ARGV: type, epoch, channel. Answers 1, or 0 if it was not there.
local K, kind, epoch, channel = KEYS[1], unpack(ARGV)
local call = redis.call
if call('HDEL', K, 'c:' .. kind) == 0 then return 0 end
for one in string.gmatch(call('HGET', K, 'l:' .. kind) or '', '%d+') do
  local old = kind .. ':' .. one
  call('HDEL', K, 'v:' .. old, 's:' .. old, 'd:' .. old)
end
call('HDEL', K, 'l:' .. kind)
call('HSET', K, 'epoch', epoch) -- drawn anew each time: no rev comes twice, even after a failover
call('HINCRBY', K, 'rev', 1)
call('PUBLISH', channel, kind)
return 1
