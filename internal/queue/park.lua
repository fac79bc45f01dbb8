-- park: tickets of one queue that were taken and whose type isn't served. KEYS:
-- pending. ARGV: the queue's name, the ring's channel, then name and type of each.
-- Who is not active any more was discarded meanwhile, or this is a repeat.
local keys = sub(KEYS[1], 1, -8)
for i = 3, #ARGV, 2 do
  if call('LREM', keys .. 'active', -1, ARGV[i]) == 1 then park(keys, ARGV[i], ARGV[i + 1]) end
end
settle_parked(keys, ARGV[1], ARGV[2])
return 1
