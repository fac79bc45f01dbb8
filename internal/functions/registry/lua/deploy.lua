-- deploy: gives a type's next number to a content and makes it the current one.
-- KEYS: P:functions. ARGV: type, the number that must be current ('' = any), epoch, channel,
-- how many are kept, SHA-256, version as JSON, definition, and of a rollback the number that has
-- the content. Answers 'made' or 'same' and the number, 'mismatch' and what is current,
-- 'missing', or 'full'.
local K, kind, want, epoch, channel, keep, sha, version, definition, from = KEYS[1], unpack(ARGV)
local call = redis.call
local current = call('HGET', K, 'c:' .. kind)
if from ~= '' then
  sha = call('HGET', K, 's:' .. kind .. ':' .. from)
  definition = call('HGET', K, 'd:' .. kind .. ':' .. from)
  if not sha or not definition then return { 'missing', '' } end
end
-- A repeat, whose first answer was lost: the name of its blob and its time are its own. Told 'same', who
-- deploys would delete the blob that has just become current.
for one in string.gmatch(call('HGET', K, 'l:' .. kind) or '', '%d+') do
  if from == '' and call('HGET', K, 'v:' .. kind .. ':' .. one) == version then return { 'made', one } end
end
if current and call('HGET', K, 's:' .. kind .. ':' .. current) == sha then return { 'same', current } end
if want ~= '' and want ~= (current or '0') then return { 'mismatch', current or '0' } end
if not current and call('HLEN', K) > @MOST@ then return { 'full', '' } end
local n = string.format('%.0f', call('HINCRBY', K, 'n:' .. kind, 1))
local list = call('HGET', K, 'l:' .. kind)
local numbers = {}
for one in string.gmatch((list or '') .. ' ' .. n, '%d+') do numbers[#numbers + 1] = one end
while #numbers > tonumber(keep) do
  local old = kind .. ':' .. table.remove(numbers, 1)
  call('HDEL', K, 'v:' .. old, 's:' .. old, 'd:' .. old)
end
local at = kind .. ':' .. n
call('HSET', K, 'v:' .. at, version, 's:' .. at, sha, 'd:' .. at, definition, 'l:' .. kind, table.concat(numbers, ' '), 'c:' .. kind, n)
call('HSET', K, 'epoch', epoch) -- drawn anew each time: no rev comes twice, even after a failover
call('HINCRBY', K, 'rev', 1)
call('PUBLISH', channel, kind)
return { 'made', n }
