-- beat: see beat_one. The short way is that of a run that nobody has canceled.
local WIDTH = 3
local t = now()
local OK, RUNNING = { 'ok' }, '^r (%d+) (%d+ %d+ %d+ %d+ 0 (%S+) %S+)$'
local leases, untils, events, size = {}, {}, {}, 0

local function quick(key, from)
  local n, rest, f = match(call('HGET', key, 'm') or '', RUNNING)
  if f ~= ARGV[from + 1] then return nil end
  local base, id, lease_ms, progress = sub(key, 1, -39), sub(key, -36), ARGV[from + 2], ARGV[from + 3]
  if lease_ms ~= '0' then
    local ends, entries = untils[lease_ms], leases[base]
    if not ends then
      ends = string.format('%.0f', t + lease_ms)
      untils[lease_ms] = ends
    end
    if not entries then
      entries = {}
      leases[base] = entries
    end
    local i = #entries
    entries[i + 1], entries[i + 2] = ends, id
  end
  if progress ~= '' then
    call('SET', base .. 'g:' .. id, progress)
    n = n + 1
    call('HSET', key, 'm', 'r ' .. n .. ' ' .. rest)
    size = size + 1
    events[size] = id .. ' ' .. n .. ' running'
  end
  return OK
end

local function write()
  for base, entries in pairs(leases) do call('ZADD', base .. 'leases', unpack(entries)) end
  if size > 0 then call('PUBLISH', PREFIX .. ':events', table.concat(events, '\n')) end
end
