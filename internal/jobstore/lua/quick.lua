-- The last part of a script that moves many jobs. Its first part has defined
-- quick(key, from), the short way of the usual case, which answers nil for
-- others, WIDTH arguments a job, write(), and words(), which makes all that
-- the other cases need: closures and tables that a lone call would pay for.
-- An error ends only its job's part.
local replies, one, flush, cause = {}, nil, nil, nil
local function move(key, from)
  local reply = quick(key, from)
  if reply then return reply end
  if not one then one, flush, cause = words() end
  return one(key, t, unpack(ARGV, from + 1, from + WIDTH))
end
for i, key in ipairs(KEYS) do
  local ok, reply = pcall(move, key, (i - 1) * WIDTH)
  if not ok then
    if not cause then one, flush, cause = words() end
    reply = { cause(reply) }
  end
  replies[i] = reply
end
write()
if flush then flush() end
if settle then settle(t) end
return replies
