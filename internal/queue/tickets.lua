-- What a record's scripts need of the queue, in asynq's keys and values
-- (internal/rdb: enqueueCmd, dequeueCmd, doneCmd). QUEUES, CHANNEL and DAY_TTL are put
-- before this text by lua.go. What goes to one list is gathered, and written by settle.

local pushed, held, dropped, ended = {}, {}, {}, {}

local function gather(lists, queue, name)
  local list = lists[queue]
  if not list then
    list = {}
    lists[queue] = list
  end
  list[#list + 1] = name
end

-- A ticket's name is the job's id without dashes, a dot and the delivery.
local function write_name(id, delivery)
  return string.sub(id, 1, 8) .. string.sub(id, 10, 13) .. string.sub(id, 15, 18) .. string.sub(id, 20, 23) ..
    string.sub(id, 25) .. '.' .. string.format('%d', delivery)
end

local function read_name(name)
  local a, b, c, d, e, delivery = string.match(name, '^(%x%x%x%x%x%x%x%x)(%x%x%x%x)(%x%x%x%x)(%x%x%x%x)(%x%x%x%x%x%x%x%x%x%x%x%x)%.(%d+)$')
  if not a then return nil end
  return a .. '-' .. b .. '-' .. c .. '-' .. d .. '-' .. e, delivery
end

-- push adds a ticket whose job is new: it can't be there yet.
local since
local function push(queue, id, delivery, t)
  local q = QUEUES[queue]
  if not q then return end -- the sweeper will tell that the ticket is missing
  local name = write_name(id, delivery)
  since = since or string.format('%.0f000000', t)
  redis.call('HSET', q.keys .. 't:' .. name, 'msg', q.before .. name .. q.after, 'state', 'pending', 'pending_since', since)
  gather(pushed, queue, name)
end

-- take pops up to n tickets.
local function take(queue, n)
  local q = QUEUES[queue]
  if redis.call('EXISTS', q.keys .. 'paused') == 1 then return {} end
  return redis.call('RPOP', q.keys .. 'pending', n) or {}
end

-- hold lists a ticket as active.
local function hold(queue, name)
  redis.call('HSET', QUEUES[queue].keys .. 't:' .. name, 'state', 'active')
  gather(held, queue, name)
end

-- drop throws a ticket away that brings nothing any more.
local function drop(queue, name) gather(dropped, queue, QUEUES[queue].keys .. 't:' .. name) end

-- done ends a ticket that a worker held.
local function done(queue, id, delivery)
  local q = QUEUES[queue]
  if not q then return end
  local name = write_name(id, delivery)
  if redis.call('LREM', q.keys .. 'active', -1, name) == 1 then gather(ended, queue, q.keys .. 't:' .. name) end
end

-- day is the date of a time in milliseconds, as asynq's daily counts want it
-- (days to a date: Howard Hinnant's civil_from_days).
local function day(t)
  local z = math.floor(t / 86400000) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local d, m = doy - math.floor((153 * mp + 2) / 5) + 1, mp < 10 and mp + 3 or mp - 9
  return string.format('%04d-%02d-%02d', yoe + era * 400 + (m <= 2 and 1 or 0), m, d)
end

-- settle writes what was gathered, a command a list.
local function settle(t)
  for queue, names in pairs(pushed) do
    local q = QUEUES[queue]
    redis.call('SADD', 'asynq:queues', q.name)
    redis.call('LPUSH', q.keys .. 'pending', unpack(names))
    redis.call('PUBLISH', CHANNEL, q.name)
  end
  for queue, names in pairs(held) do redis.call('LPUSH', QUEUES[queue].keys .. 'active', unpack(names)) end
  for _, keys in pairs(dropped) do redis.call('DEL', unpack(keys)) end
  for queue, keys in pairs(ended) do
    local processed = QUEUES[queue].keys .. 'processed'
    local today = processed .. ':' .. day(t)
    redis.call('DEL', unpack(keys))
    redis.call('INCRBY', processed, #keys)
    if redis.call('INCRBY', today, #keys) == #keys then redis.call('EXPIRE', today, DAY_TTL) end
  end
end

