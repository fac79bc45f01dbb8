-- What the end of records needs of the queue (internal/rdb: doneCmd).
local ended = {}

-- A ticket's name is the job's id without dashes, a dot and the delivery.
local function write_name(id, delivery)
  return sub(id, 1, 8) .. sub(id, 10, 13) .. sub(id, 15, 18) .. sub(id, 20, 23) .. sub(id, 25) .. '.' .. delivery
end

-- done ends a ticket that a worker held.
local function done(queue, id, delivery)
  local keys = about(queue)
  if not keys then return end
  local name = write_name(id, delivery)
  if call('LREM', keys .. 'active', -1, name) == 0 then return end
  local list = ended[keys]
  if not list then
    list = {}
    ended[keys] = list
  end
  list[#list + 1] = keys .. 't:' .. name
end

-- day is the date of a time in milliseconds, as asynq's daily counts want it
-- (days to a date: Howard Hinnant's civil_from_days).
local function day(t)
  local floor = math.floor
  local z = floor(t / 86400000) + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local d, m = doy - floor((153 * mp + 2) / 5) + 1, mp < 10 and mp + 3 or mp - 9
  return string.format('%04d-%02d-%02d', yoe + era * 400 + (m <= 2 and 1 or 0), m, d)
end

local function settle(t)
  for keys, tasks in pairs(ended) do
    local processed = keys .. 'processed'
    local today = processed .. ':' .. day(t)
    call('DEL', unpack(tasks))
    call('INCRBY', processed, #tasks)
    if call('INCRBY', today, #tasks) == #tasks then call('EXPIRE', today, DAY_TTL) end
  end
end
