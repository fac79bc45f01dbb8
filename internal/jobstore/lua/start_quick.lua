-- begin is the short way of start_one, for a job that nobody has touched since
-- it was created: it answers h, m, p and when it was
-- created, or nil for all others.
local stamp, lease_end
local served, leases, events, size = {}, {}, {}, 0
local function begin(key, t, delivery, fence, lease_ms, types)
  if delivery ~= '1' then return nil end
  local record = call('HMGET', key, 'h', 'm', 'p', 'c')
  local h, m = record[1], record[2]
  if m ~= FRESH or not h then return nil end
  local serve = served[h]
  if serve == nil then
    local kind = match(h, '^' .. VERSION .. ' %S+ %d+ %d+ %d+ 0 [01] (%S+)$')
    serve = kind and (types == '' or find(types, ' ' .. kind .. ' ', 1, true)) and true or false
    served[h] = serve
  end
  if not serve then return nil end
  if not stamp then stamp, lease_end = string.format('%.0f', t), string.format('%.0f', t + lease_ms) end
  local base, id = sub(key, 1, -39), sub(key, -36)
  m = 'r 2 1 0 0 ' .. stamp .. ' 0 ' .. fence .. ' -'
  local spec = record[3] or call('GET', base .. 'p:' .. id) or ''
  call('HSET', key, 'm', m)
  local entries = leases[base]
  if not entries then
    entries = {}
    leases[base] = entries
  end
  local i = #entries
  entries[i + 1], entries[i + 2] = lease_end, id
  size = size + 1
  events[size] = id .. ' 2 running'
  return h, m, spec, record[4] or ''
end

local function write()
  if size == 0 then return end
  for base, entries in pairs(leases) do call('ZADD', base .. 'leases', unpack(entries)) end
  call('PUBLISH', PREFIX .. ':events', table.concat(events, '\n'))
end
