-- walk: tickets were lost. It goes over the jobs of all families, some a call, and gives
-- queued ones whose ticket is gone, or was set aside by asynq's tools, a new delivery. If
-- the lists then hold less than there are queued jobs, all get one. Where an index was taken away, all
-- jobs get back what it must have of them. Where it is stands in key "walk": '1' or '2', the family, the
-- entry, or in key "mend", with '3'. ARGV: how many a call, lease. Answers { 1 if there is more, mended }.
local chunk, lease_ms, found = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
local mending = call('GET', P .. 'mend')
local state, cursor = mending or call('GET', P .. 'walk'), P .. (mending and 'mend' or 'walk')
if not state then return { 0, 0 } end
local all, family, from = sub(state, 1, 1) == '2', sub(state, 2, 9), sub(state, 10)

local next_family
local entries = {}
local function stream(name) return P .. 'all:' .. name end
local families, sum = {}, 0
local n = call('HGETALL', P .. 'n')
for i = 1, #n, 2 do
  if #n[i] == 9 then families[sub(n[i], 1, 8)] = true end
  if #n[i] == 9 and sub(n[i], 9) == '@queued@' then sum = sum + math.max(0, tonumber(n[i + 1]) or 0) end
end
for _, said in ipairs(call('HVALS', P .. 'heads')) do families[sub(said, 1, 8)] = true end
local names = {}
for name in pairs(families) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  if name >= family then
    entries = redis.pcall('XRANGE', stream(name), name == family and from ~= '' and '(' .. from or '-', '+', 'COUNT', chunk)
    next_family = name
    if entries.err then -- a strange hand's key makes room; doctor --fix writes the stream anew
      call('DEL', stream(name))
      call('HSET', P .. 'n', 'bad', '1')
      entries = {}
    end
    if entries[1] then break end
  end
end

for _, entry in ipairs(entries) do
  local id = entry[2][2]
  decide(function()
    local j = load(id)
    if j and mending then
      if mend(j, lease_ms, '', '') > 0 then found = found + 1 end
      return
    end
    if not j or j.s ~= 'queued' then return end
    local Q, was = @QUEUE(j.head.queue)@, entry_of(j)
    local key = Q .. 't:' .. was
    if not all and call('EXISTS', key) == 1 and call('HEXISTS', key, 'state') == 0 then return end
    if call('HEXISTS', key, 'state') == 1 then -- else a key goes with its entry, in take
      todo(6, 'UNLINK', key)
      todo(6, 'ZREM', Q .. 'archived', was)
    end
    j.d = j.d >= 65535 and 2 or j.d + 1
    put(j)
    push(j)
    found = found + 1
  end)
end
flush()
if entries[1] then
  call('SET', cursor, sub(state, 1, 1) .. next_family .. entries[#entries][1])
  return { 1, found }
end
local waiting = 0
for _, queue in ipairs(queues()) do
  local Q = @QUEUE(queue)@
  waiting = waiting + call('LLEN', Q .. 'pending')
  for _, kind in ipairs(call('SMEMBERS', Q .. 'parked')) do waiting = waiting + call('LLEN', Q .. 'pending:type:' .. kind) end
end
for _, class in ipairs(call('SMEMBERS', P .. 'classes')) do waiting = waiting + call('LLEN', P .. 'line:' .. class) end
if mending then call('DEL', cursor) end
if not all and waiting < sum then
  call('SET', P .. 'walk', '2')
  return { 1, found }
end
if mending then return { call('EXISTS', P .. 'walk'), found } end
call('DEL', P .. 'walk')
return { 0, found }
