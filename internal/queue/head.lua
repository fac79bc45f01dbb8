-- head: names that were just pushed go to the other end of the list, where the
-- next one is taken; of a type that stands parked, to that end of its own list.
-- Each push depends on the LREM: a worker may have popped the name in between,
-- and a name without its task would stop asynq's recovery. KEYS: pending.
-- ARGV: name and type of each; a type may be unknown.
local keys = sub(KEYS[1], 1, -8)
for i = 1, #ARGV, 2 do
  local name, kind = ARGV[i], ARGV[i + 1]
  if call('LREM', KEYS[1], 1, name) == 1 then
    if kind ~= '' and call('SISMEMBER', keys .. 'parked', kind) == 1 then
      call('HSET', keys .. 't:' .. name, 'state', 'parked')
      call('RPUSH', aside(keys, kind), name)
    else
      call('RPUSH', KEYS[1], name)
    end
  end
end
return 1
