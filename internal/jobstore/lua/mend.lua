-- mend: gives indexes and queues what they must have of some jobs. ARGV: the lease, then id, ended and listed
-- of each (mend_words.lua). Answers for each { 'ok', how much was mended, 1 if it stands in the stream of its
-- family, family }, or a word of what is wrong with it.
local replies, lease_ms = {}, tonumber(ARGV[1])
for i = 2, #ARGV, 3 do
  local id, ended, listed = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local ok, reply = decide(function()
    local j = load(id)
    if not j then return { 'gone' } end
    local at = int(j.created) .. '-' .. r2(j.entry, 7)
    local row = redis.pcall('XRANGE', P .. 'all:' .. j.head.family, at, at)
    local stands = not row.err and row[1] ~= nil and row[1][2][2] == id
    return { 'ok', mend(j, lease_ms, ended, listed), stands and 1 or 0, j.head.family }
  end)
  if not ok then
    if reply == 'damaged' then decide(set_aside, id) end
    reply = { reply }
  end
  replies[#replies + 1] = reply
end
flush()
return replies
