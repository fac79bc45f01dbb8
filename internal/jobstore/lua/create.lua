-- create: see create_one. The short way is that of a job that is new and
-- queued at once, with an idempotency key or without.
local WIDTH = 3
local t = now()
local stamp = string.format('%.0f', t)
local look = string.format('%.0f', t + LOOK - (push and ASIDE or 0)) -- a ticket that comes with its record can hardly be lost
local none = call('EXISTS', unpack(KEYS)) == 0 -- of all these records: the usual case, in one command
local CREATED = { 'created', 1, stamp }
local ids, due, events, size, queues, made = {}, {}, {}, 0, {}, {}

local function quick(key, from)
  local head, spec, rest = ARGV[from + 1], ARGV[from + 2], ARGV[from + 3]
  if made[key] or rest ~= '' and sub(rest, 1, 1) ~= '=' or not none and call('EXISTS', key) == 1 then
    none = false
    return nil
  end
  local base, id = sub(key, 1, -39), sub(key, -36)
  local within = #spec <= SHORT and spec ~= '' -- the record; a branch each, since a list for the one HSET would cost more
  if rest == '' then
    if within then
      call('HSET', key, 'm', FRESH, 'h', head, 'c', stamp, 'p', spec)
    else
      call('HSET', key, 'm', FRESH, 'h', head, 'c', stamp)
    end
  else
    local claim = sub(rest, 2, 33)
    if not call('SET', base .. 'i:' .. claim, id, 'NX') then -- the key names a job, which may be gone
      none = false
      return nil
    end
    if within then
      call('HSET', key, 'm', FRESH, 'h', head, 'c', stamp, 'p', spec, 'ih', sub(rest, 34), 'ik', claim)
    else
      call('HSET', key, 'm', FRESH, 'h', head, 'c', stamp, 'ih', sub(rest, 34), 'ik', claim)
    end
  end
  made[key] = true
  if #spec > SHORT then call('SET', base .. 'p:' .. id, spec) end
  local i, d = ids[base], due[base]
  if not i then
    i, d = {}, {}
    ids[base], due[base] = i, d
  end
  local n = #i
  i[n + 1], i[n + 2], d[n + 1], d[n + 2] = '0', id, look, id
  size = size + 1
  events[size] = id .. ' 1 queued'
  if push then
    local queue = queues[head]
    if not queue then
      queue = match(head, '^%S+ (%S+)')
      queues[head] = queue
    end
    push(queue, id, 1, t)
  end
  return CREATED
end

local function write()
  if size == 0 then return end
  for base, entries in pairs(ids) do call('ZADD', base .. 'ids', unpack(entries)) end
  for base, entries in pairs(due) do call('ZADD', base .. 'due', unpack(entries)) end
  call('PUBLISH', PREFIX .. ':events', table.concat(events, '\n'))
end
