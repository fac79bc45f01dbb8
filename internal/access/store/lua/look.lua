-- KEYS: rev, log. ARGV: which epoch and revision are known. Where there is no revision,
-- nothing was ever written, or all is lost.
local e = redis.call('HGET', KEYS[1], 'e') or ''
local n, known = tonumber(redis.call('HGET', KEYS[1], 'n') or '0'), tonumber(ARGV[2])
if e ~= ARGV[1] or n < known or n - known > redis.call('LLEN', KEYS[2]) then
  return {e, n, 1}
end
local reply = {e, n, 0}
if n > known then
  for _, name in ipairs(redis.call('LRANGE', KEYS[2], 0, n - known - 1)) do
    reply[#reply + 1] = name
  end
end
return reply
