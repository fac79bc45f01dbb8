-- parts notes in P:meta how far all partitions have been marked, or that one of them was lost. KEYS:
-- P:meta. ARGV: epoch; 'whole' and the mark, or 'lost' and the ms since when. Answers the loss, or '' if
-- there is none.
local call, M = redis.call, KEYS[1]
local epoch, parted, loss = unpack(call('HMGET', M, 'epoch', 'parted', 'reset'))
if loss then return loss end
if epoch ~= ARGV[1] then return '' end -- another one has begun meanwhile: its turn is the next
if ARGV[2] == 'lost' then
  local clock = call('TIME')
  loss = string.format('%d-%d', ARGV[3], clock[1] * 1000 + math.floor(clock[2] / 1000))
  call('HSET', M, 'reset', loss, 'lost', epoch)
  return loss
end
local old, mark = string.match(parted or '', '^(%S+) (%d+)$')
if old ~= epoch or tonumber(mark) < tonumber(ARGV[3]) then call('HSET', M, 'parted', epoch .. ' ' .. ARGV[3]) end
return ''
