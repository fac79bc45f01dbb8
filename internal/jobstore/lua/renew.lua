-- renew: a stream that was written anew takes the place of one of all jobs of a family, with what has come since.
-- ARGV: the family, the newest entry that was written.
local stream, written = P .. 'all:' .. ARGV[1], P .. 'new:' .. ARGV[1]
local since = redis.pcall('XRANGE', stream, '(' .. ARGV[2], '+')
if not since.err then
  for _, entry in ipairs(since) do call('XADD', written, entry[1], 'j', entry[2][2]) end
end
call('RENAME', written, stream)
return 1
