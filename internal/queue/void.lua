-- void: throws tickets away that stand parked for nothing, or in a queue that
-- nobody serves. KEYS: pending, the partition's counters. ARGV: the type, '' = what
-- is pending; the queue; how many older ones stand behind the page, the page's
-- size, then the names. Whoever was taken meanwhile is not there and is left alone. A name is blanked where it stands, and blanks go in one pass from the
-- list's old end. Answers how many went.
local keys, kind = sub(KEYS[1], 1, -8), ARGV[1]
local older, size = tonumber(ARGV[3]), tonumber(ARGV[4])
local list, void, gone = kind == '' and KEYS[1] or keys .. 'pending:type:' .. kind, {}, 0
for i = 5, #ARGV do void[ARGV[i]] = true end
local page = call('LRANGE', list, -older - size, -older - 1)
for i, name in ipairs(page) do
  if void[name] then
    call('LSET', list, i - 1 - older - #page, '')
    call('DEL', keys .. 't:' .. name)
    gone = gone + 1
  end
end
if gone > 0 then call('LREM', list, -gone, '') end
if kind == '' then
  -- The counter says what workers miss.
  if gone > 0 then redis.pcall('HINCRBY', KEYS[2], 'list:' .. ARGV[2], -gone) end
elseif call('EXISTS', list) == 0 then call('SREM', keys .. 'parked', kind) end
return gone
