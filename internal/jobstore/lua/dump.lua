-- dump: some jobs of a family, for a backup. ARGV: the family, the entry of its stream behind which to begin ('' = at its
-- begin), how many entries at most. Nothing is written. Answers { the entry to go on behind, '' = that was all; entries that can't be
-- read; uploads in one request that are left out; then of each job its place in the stream, id, record, head, and what stands beside it: a letter and a value }.
--
-- All that is open goes along; of what has ended what is still needed: who owes a callback, and the jobs of a batch
-- that is there. An entry counts if its record says the same place: a job that was made anew under its id has
-- another one, and is found there.
local BYTES = 1048576 -- of records and what stands beside them, about
local family, from, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local stream, reply, bad, left, size = P .. 'all:' .. family, {}, 0, 0, 0
local rows = redis.pcall('XRANGE', stream, from == '' and '-' or '(' .. from, '+', 'COUNT', most)
if rows.err or not rows[1] then return { '', 0, 0 } end

local function strings(item, kind, key)
  local value = call('GET', key)
  if value then
    item[#item + 1], item[#item + 2] = kind, value
    size = size + #value
  end
end
local function listed(item, kind, values)
  if not values[1] then return end
  item[#item + 1], item[#item + 2] = kind, values
  for _, value in ipairs(values) do size = size + #value end
end

-- head_text is family and text of a record's head, as the table or the record has them.
local texts = {}
local function head_text(core)
  if has(byte(core, 19), @F_N@) then return '' end
  local code = sub(core, 3, 10)
  local said = texts[code] or call('HGET', P .. 'heads', code)
  if not said or #said < 9 then error('damaged') end
  texts[code] = said
  return said
end

-- of_batch tells that a record is a batch's.
local batchy = {}
local function of_batch(id, core)
  local said = head_text(core)
  if said == '' then return is_batch(load(id)) end
  if batchy[said] == nil then batchy[said] = match(said, ' (%S+)$') == '@BATCH@' end
  return batchy[said]
end

-- needed tells whether a job that has ended goes along.
local function needed(id, core, f1, f2)
  if has(f1, @F_O@) and call('ZSCORE', P .. 'owes:webhook', id) then return true end
  return of_batch(id, core) and there(id) or has(f2, @F_B@) and kept(load(id))
end

local function beside(item, id, core, f1, f2, f3)
  if has(f3, @F_P@) then strings(item, 'p', P .. 'p:' .. id) end
  if has(f3, @F_G@) then strings(item, 'g', P .. 'g:' .. id) end
  if has(f1, @F_K@) then strings(item, 'r', P .. 'r:' .. id) end
  if has(f3, @F_H@) then listed(item, 'x', call('HGETALL', P .. 'x:' .. id)) end
  if has(f3, @F_V@) then listed(item, 'e', call('LRANGE', P .. 'e:' .. id, 0, -1)) end
  if has(f3, @F_S@) then listed(item, 's', call('LRANGE', P .. 's:' .. id, 0, -1)) end
  if has(f1, @F_O@) then listed(item, 'w', call('HGETALL', P .. 'w:' .. id)) end
  if of_batch(id, core) then listed(item, 'u', call('HGETALL', P .. 'u:' .. id)) end -- who is to gather it
  if has(f2, @F_I@) then
    local hash = load(id).ik
    local claimed = call('GET', P .. 'i:' .. hash)
    if claimed and sub(claimed, 1, 16) == id then listed(item, 'i', { hash, sub(claimed, 17) }) end
  end
end

local function kept_whole(row, id, core)
  if #core < 29 or byte(core, 1) ~= @VERSION_NUMBER@ then error('damaged') end
  local letter, f1, f2, f3 = sub(core, 2, 2), byte(core, 19, 21)
  if int(r6(core, 22)) .. '-' .. r2(core, 28) ~= row[1] then return end
  if letter == '@uploading@' and not (has(f3, @F_H@) and call('HEXISTS', P .. 'x:' .. id, 'ux') == 1) then
    left = left + 1
    return
  end
  local state = STATES[letter] or letter == '@RETRIED@' and 'failed'
  if not state then error('damaged') end
  if TERMINAL[state] and not needed(id, core, f1, f2) then return end
  local item = { row[1], id, core, head_text(core) }
  beside(item, id, core, f1, f2, f3)
  size = size + #core
  reply[#reply + 1] = item
end

local keys, ids = {}, {}
for k, row in ipairs(rows) do
  ids[k] = row[2][2]
  keys[k] = P .. 'j:' .. ids[k]
end
local found, last = call('MGET', unpack(keys)), nil
for k, row in ipairs(rows) do
  if size > BYTES then break end
  last = row[1]
  if found[k] then
    cores[ids[k]] = found[k]
    local ok, why = pcall(kept_whole, row, ids[k], found[k])
    if not ok then
      cause(why) -- what is no damage ends the call
      bad = bad + 1
    end
  end
end
if #rows < most and last == rows[#rows][1] then last = '' end
return { last, bad, left, unpack(reply) }
