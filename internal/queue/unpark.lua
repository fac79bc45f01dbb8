-- unpark: the oldest parked tickets of a type go back to where every worker
-- takes, ahead of what waits there. KEYS: pending. ARGV: the queue's name, the
-- ring's channel, the type, how many at most. Answers how many went.
local keys, kind, most = sub(KEYS[1], 1, -8), ARGV[3], tonumber(ARGV[4])
local list = aside(keys, kind)
local names = call('LRANGE', list, -most, -1)
if names[1] then
  for _, name in ipairs(names) do call('HSET', keys .. 't:' .. name, 'state', 'pending') end
  call('RPUSH', KEYS[1], unpack(names))
  call('LTRIM', list, 0, -#names - 1)
  call('PUBLISH', ARGV[2], ARGV[1])
end
if #names < most then call('SREM', keys .. 'parked', kind) end
return #names
