-- tally: counts anew, in one step, the jobs of one family of a partition; without a family, which of all jobs run and
-- what waits in its queues, and drops counters that are none. Redis does nothing else meanwhile. ARGV: the
-- family, or ''. Answers how many it counted.
local family, found, all = ARGV[1], {}, 0
local function add(field, n) found[field] = (found[field] or 0) + n end
local function keep(fields) -- a hash's fields that were not found are gone
  for _, field in ipairs(fields) do
    if not found[field] then call('HDEL', P .. 'n', field) end
  end
  for field, n in pairs(found) do call('HSET', P .. 'n', field, n) end
end
if family == '' then
  for _, id in ipairs(call('ZRANGE', P .. 'lease', 0, -1)) do
    local ok, j = pcall(load, id)
    if ok and j and j.s == 'running' then
      all = all + 1
      add('runs:' .. j.head.queue, 1)
    end
  end
  for _, queue in ipairs(queues()) do
    local waiting = call('LLEN', @QUEUE(queue)@ .. 'pending')
    if waiting > 0 then add('list:' .. queue, waiting) end
  end
  local strange = {}
  for _, field in ipairs(call('HKEYS', P .. 'n')) do
    local removed = #field == 10 and sub(field, 1, 1) == 'R' -- totals only grow
    if not removed and #field ~= 9 then strange[#strange + 1] = field end
  end
  keep(strange)
  return all
end
local from = '-'
while from do
  local entries, keys = redis.pcall('XRANGE', P .. 'all:' .. family, from, '+', 'COUNT', 1000), {}
  if entries.err then entries = {} end -- a strange hand's key has no jobs
  for k, entry in ipairs(entries) do keys[k] = P .. 'j:' .. entry[2][2] end
  from = entries[1000] and '(' .. entries[1000][1]
  if keys[1] then
    for _, core in ipairs(call('MGET', unpack(keys))) do
      local letter = core and #core >= 29 and sub(core, 2, 2)
      if letter and (STATES[letter] or letter == '@RETRIED@') then
        all = all + 1
        add(family .. letter, 1)
      end
    end
  end
end
local fields = { family .. '@RETRIED@' }
for letter in pairs(STATES) do fields[#fields + 1] = family .. letter end
keep(fields)
return all
