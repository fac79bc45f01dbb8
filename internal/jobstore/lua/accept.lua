-- accept ends a loss: a new epoch begins, and what was kept of the lost one is no alarm any more.
-- KEYS: P:meta. ARGV: the new epoch. Answers the loss, or '' if there is none.
local call, M = redis.call, KEYS[1]
local loss, lost, accepted = unpack(call('HMGET', M, 'reset', 'lost', 'accepted'))
if not loss then return '' end
-- All that were given up, the newest first: a process that was frozen may still know an older one.
local all = (lost or '') .. ' ' .. (accepted or '')
call('HSET', M, 'epoch', ARGV[1], 'accepted', string.sub(all, 1, 540))
call('HDEL', M, 'reset', 'lost')
return loss
