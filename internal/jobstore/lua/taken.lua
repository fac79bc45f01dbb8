-- put_by is for a job whose ticket was taken and whose record can't be read, for this reason: one of a newer version is
-- found again, by a newer process.
local function put_by(id, reason)
  if reason == 'future' then
    plan[#plan + 1] = { 2, 'ZADD', P .. 'when', int(t + @PUSH@), id }
  else
    decide(set_aside, id)
  end
end

-- foreign tells that an entry is no ticket of ours: somebody's asynq.Client has enqueued into the queue. His TaskID
-- may have 16 or 18 bytes too; then no job waits under it. An entry without a task is nothing that could be kept.
local function foreign(Q, entry)
  local msg = redis.pcall('HGET', Q .. 't:' .. entry, 'msg')
  if type(msg) ~= 'string' then return false end
  return #entry ~= 16 and #entry ~= 18 or msg ~= '@MSG@' .. hex(sub(entry, 1, 16))
end

-- set_apart keeps such entries, the oldest first, and their tasks, for enqueue asynq-move.
local function set_apart(Q, entries)
  if #entries == 0 then return end
  plan[#plan + 1] = { 5, function()
    local list = Q .. 'foreign'
    local reply = redis.pcall('LPUSH', list, unpack(entries))
    if type(reply) ~= 'table' then return end
    call('DEL', list) -- a strange hand's key of another type makes room
    call('LPUSH', list, unpack(entries))
  end }
end

-- handed is what who runs a job is told: id and record, payload, progress, what it is after.
local function handed(j)
  return { j.id .. (own[j.id] or read(j.id)), j.p and call('GET', P .. 'p:' .. j.id) or '', j.g and call('GET', P .. 'g:' .. j.id) or '',
    rare(j, 'af') or '' }
end
