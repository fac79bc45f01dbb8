-- blobs: all versions, at one time: read in pieces, one that a rollback moves could be missed, and the sweep would
-- delete its blob. KEYS: P:functions. Answers their texts.
local said = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == 'v:' then said[#said + 1] = redis.call('HGET', KEYS[1], field) end
end
return said
