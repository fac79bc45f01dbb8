-- unlist: a partition forgets lists of queues that have been empty for long, each in one step with the look at it: who
-- makes a job there afterwards makes the list anew. ARGV: for how long (ms), then the lists. Answers those that stay.
local idle, stay = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  local queue = ARGV[i]
  local Q, since = @QUEUE(queue)@, call('ZSCORE', P .. 'queues', queue)
  local runs = tonumber(call('HGET', P .. 'n', 'runs:' .. queue) or 0)
  if call('EXISTS', Q .. 'pending', Q .. 'parked', Q .. 'paused', Q .. 'foreign', Q .. 'longshore') > 0 or runs and runs > 0 then
    if since then call('ZADD', P .. 'queues', string.format('%.0f', t), queue) end
    stay[#stay + 1] = queue
  elseif since and t - since < idle then
    stay[#stay + 1] = queue
  else
    call('ZREM', P .. 'queues', queue)
    call('HDEL', P .. 'n', 'list:' .. queue, 'runs:' .. queue)
    if @PARTS@ == 1 then call('SREM', 'asynq:queues', '@PREFIX@-' .. queue) end
  end
end
return stay
