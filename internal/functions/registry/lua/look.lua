-- look: what is current, unless it is known. KEYS: P:functions. ARGV: the rev that is known.
-- Answers the rev, and if that is another one type, number, version and definition of each.
local K, known = KEYS[1], ARGV[1]
local call = redis.call
local epoch, n = unpack(call('HMGET', K, 'epoch', 'rev'))
local rev = epoch and n and epoch .. ':' .. n or ''
local said = { rev }
if rev == known then return said end
for _, field in ipairs(call('HKEYS', K)) do
  if string.sub(field, 1, 2) == 'c:' then
    local kind = string.sub(field, 3)
    local number = call('HGET', K, field)
    local version, definition = unpack(call('HMGET', K, 'v:' .. kind .. ':' .. number, 'd:' .. kind .. ':' .. number))
    if version and definition then
      local i = #said
      said[i + 1], said[i + 2], said[i + 3], said[i + 4] = kind, number, version, definition
    end
  end
end
return said
