-- finish: see finish_one. The short way is that of a run that succeeded, was
-- not canceled and has no callback.
local WIDTH = 8
local t = now()
local stamp = string.format('%.0f', t)
local OK, RUNNING = { 'ok' }, '^r (%d+) (%d+) (%d+) (%d+ %d+) 0 (%S+) '
local HEAD = '^' .. VERSION .. ' (%S+) %d+ %d+ (%d+) %d+ 0 %S+$'
local ends, leases, events, size = {}, {}, {}, 0
local queues, expiries = {}, {} -- by head

local function quick(key, from)
  if ARGV[from + 2] ~= 'succeeded' then return nil end
  local fence, record = ARGV[from + 1], call('HMGET', key, 'h', 'm')
  local h, m = record[1], record[2]
  if not h or not m then return nil end
  local n, d, a, rest, f = match(m, RUNNING)
  if f ~= fence then return nil end
  local queue = queues[h]
  if not queue then
    local retention
    queue, retention = match(h, HEAD)
    if not queue then return nil end
    queues[h], expiries[h] = queue, string.format('%.0f', t + retention)
  end
  local base, id = sub(key, 1, -39), sub(key, -36)
  if done then done(queue, id, d) end
  local progress, result = ARGV[from + 5], ARGV[from + 6]
  if progress ~= '' then call('SET', base .. 'g:' .. id, progress) end
  if result ~= '' then call('SET', base .. 'r:' .. id, result) end
  n = n + 1
  call('HSET', key, 'm', 's ' .. n .. ' ' .. d .. ' ' .. a + 1 .. ' ' .. rest .. ' 0 - ' .. fence,
    'fi', stamp, 'u', ARGV[from + 4])
  local due, gone = ends[base], leases[base]
  if not due then
    due, gone = {}, {}
    ends[base], leases[base] = due, gone
  end
  local i = #gone
  gone[i + 1], due[2 * i + 1], due[2 * i + 2] = id, expiries[h], id
  size = size + 1
  events[size] = id .. ' ' .. n .. ' succeeded'
  return OK
end

local function write()
  if size == 0 then return end
  for base, entries in pairs(leases) do call('ZREM', base .. 'leases', unpack(entries)) end
  for base, entries in pairs(ends) do call('ZADD', base .. 'due', unpack(entries)) end
  call('PUBLISH', PREFIX .. ':events', table.concat(events, '\n'))
end
