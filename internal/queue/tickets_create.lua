-- What the creation of records needs of the queue, in asynq's keys and values
-- (internal/rdb: enqueueCmd). about, CHANNEL and the words of jobstore stand
-- before this text. What goes to one list is gathered, and written by settle.
local pushed, since = {}, nil

-- A ticket's name is the job's id without dashes, a dot and the delivery.
local function write_name(id, delivery)
  return sub(id, 1, 8) .. sub(id, 10, 13) .. sub(id, 15, 18) .. sub(id, 20, 23) .. sub(id, 25) .. '.' .. delivery
end

-- push adds a ticket whose job is new: it can't be there yet.
local function push(queue, id, delivery, t)
  local keys, _, before, after = about(queue)
  if not keys then return end -- the sweeper will tell that the ticket is missing
  local name = write_name(id, delivery)
  since = since or string.format('%.0f000000', t)
  call('HSET', keys .. 't:' .. name, 'msg', before .. name .. after, 'state', 'pending', 'pending_since', since)
  local list = pushed[queue]
  if not list then
    list = {}
    pushed[queue] = list
  end
  list[#list + 1] = name
end

-- settle rings only where the queue was empty: else no worker thinks it is.
local function settle()
  for queue, names in pairs(pushed) do
    local keys, name = about(queue)
    if call('LPUSH', keys .. 'pending', unpack(names)) == #names then
      call('SADD', 'asynq:queues', name)
      call('PUBLISH', CHANNEL, name)
    end
  end
end
