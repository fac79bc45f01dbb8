-- mark marks a partition, unless somebody else has meanwhile. KEYS: P. ARGV: the mark that was read, '' =
-- none; the new one.
local key = KEYS[1] .. 'life'
if (redis.call('GET', key) or '') ~= ARGV[1] then return 0 end
redis.call('SET', key, ARGV[2])
return 1
