-- each runs f for every job of the batch, with width arguments a job, and
-- answers for each. An error ends only that job's part.
local function each(width, f)
  local replies, t = {}, now()
  for i, key in ipairs(KEYS) do
    local from = (i - 1) * width
    local ok, reply = pcall(f, key, t, unpack(ARGV, from + 1, from + width))
    replies[i] = ok and reply or { cause(reply) }
  end
  flush()
  return replies
end
