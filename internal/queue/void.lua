-- void: throws tickets away that stand parked for nothing, or in a queue that
-- nobody serves. KEYS: pending, the partition's counters. ARGV: the type, '' = what
-- is pending; the queue; how many older ones stand behind the page, the page's
-- size, then the names. Whoever was taken meanwhile is not there and is left alone. A name is blanked where it stands, and blanks go in one pass from the
-- list's old end. What somebody's asynq.Client has enqueued is set apart with its task (jobstore's foreign.go).
-- Answers how many went, and how many of these were set apart.
local keys, kind = sub(KEYS[1], 1, -8), ARGV[1]
local older, size = tonumber(ARGV[3]), tonumber(ARGV[4])
local list, void, gone, apart = kind == '' and KEYS[1] or keys .. 'pending:type:' .. kind, {}, 0, 0
local function foreign(name)
  if kind ~= '' then return false end
  local msg = redis.pcall('HGET', keys .. 't:' .. name, 'msg')
  if type(msg) ~= 'string' then return false end
  local id = string.gsub(sub(name, 1, 16), '.', function(c) return string.format('%02x', string.byte(c)) end)
  return #name ~= 16 and #name ~= 18 or msg ~= '\10\1j\26\32' .. id
end
for i = 5, #ARGV do void[ARGV[i]] = true end
local page = call('LRANGE', list, -older - size, -older - 1)
for i = #page, 1, -1 do
  local name = page[i]
  if void[name] then
    if foreign(name) then
      call('LPUSH', keys .. 'foreign', name)
      apart = apart + 1
    else
      call('DEL', keys .. 't:' .. name)
    end
    call('LSET', list, i - 1 - older - #page, '')
    gone = gone + 1
  end
end
if gone > 0 then call('LREM', list, -gone, '') end
if kind == '' then
  -- The counter says what workers miss.
  if gone > 0 then redis.pcall('HINCRBY', KEYS[2], 'list:' .. ARGV[2], -gone) end
elseif call('EXISTS', list) == 0 then call('SREM', keys .. 'parked', kind) end
return { gone, apart }
