-- revs: how far each job is, in the fewest words.
local replies = {}
for i, key in ipairs(KEYS) do
  local f = redis.pcall('HMGET', key, 'n', 's')
  replies[i] = (f.err or not f[1]) and { '', '' } or f
end
return replies
