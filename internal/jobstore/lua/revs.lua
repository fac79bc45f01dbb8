-- revs: how far each job is, in the fewest words.
local replies = {}
for i, key in ipairs(KEYS) do
  local m = redis.pcall('HGET', key, 'm')
  replies[i] = { type(m) == 'string' and m or '' }
end
return replies
