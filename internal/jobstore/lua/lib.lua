-- The words that the scripts share. MOVES, VERSION, LIMITS and now() are put
-- before this text by script.go.

local function number(v)
  local n = tonumber(v)
  if not n then error('damaged') end
  return n
end

-- at names one job's keys out of its record's key, "P:{k}:j:<id>".
local function at(key)
  return { key = key, base = string.sub(key, 1, -39), id = string.sub(key, -36) }
end

-- prefix is the installation's, "P".
local function prefix(key) return string.sub(key, 1, string.find(key, ':{', 1, true) - 1) end

-- events are the changes of this call. They are published together, as lines
-- of one message: a message a change costs more than the change.
local events = {}
local function publish()
  if events[1] then redis.call('PUBLISH', prefix(KEYS[1]) .. ':events', table.concat(events, '\n')) end
end

-- load reads the part of a record that moves need; nil if there is none.
local function load(key)
  local v, s, n, d, f, lf, a, q, t, m, cr, ls, st, run_at, x, timeout, retention, cb = unpack(redis.call('HMGET', key,
    'v', 's', 'n', 'd', 'f', 'lf', 'a', 'q', 't', 'm', 'cr', 'ls', 'st', 'at', 'x', 'to', 'rt', 'cb'))
  if not v then
    if redis.call('EXISTS', key) == 1 then error('damaged') end
    return nil
  end
  if v ~= VERSION then error((tonumber(v) or 0) > tonumber(VERSION) and 'future' or 'damaged') end
  if not (STATES[s] and q and t and timeout) then error('damaged') end
  local j = at(key)
  j.s, j.q, j.t, j.f, j.lf, j.to = s, q, t, f or '', lf or '', timeout
  j.n, j.d, j.a, j.m, j.rt = number(n), number(d), number(a), number(m), number(retention)
  j.cr, j.ls, j.st, j.cb = cr == '1', ls and number(ls) or 0, st, cb
  j.at, j.x = run_at and number(run_at), x and number(x)
  return j
end

-- check ends a job's part of the batch before anything of it was written.
local function check(j, to)
  if to ~= j.s and not MOVES[j.s][to] then error('refused') end
end

-- move is the only writer of a state: it raises rev and tells the listeners.
local function move(j, to, ...)
  check(j, to)
  j.n, j.s = j.n + 1, to
  local rev = tostring(j.n)
  redis.call('HSET', j.key, 's', to, 'n', rev, ...)
  events[#events + 1] = j.id .. ' ' .. rev .. ' ' .. to
end

-- look_at says when the job is to be looked at again, never later than it expires.
local function look_at(j, ms)
  if j.x and not j.st and j.x < ms then ms = j.x end
  redis.call('ZADD', j.base .. 'open', ms, j.id)
end

-- enqueue makes the job queued under a new delivery; the caller's caller enqueues the ticket.
local function enqueue(j, t, ...)
  check(j, 'queued')
  j.d = j.d + 1
  redis.call('ZREM', j.base .. 'leases', j.id)
  look_at(j, t + LOOK)
  redis.call('HDEL', j.key, 'k')
  move(j, 'queued', 'd', j.d, 'f', '', ...)
end

-- schedule lets the job wait for a time.
local function schedule(j, to, due, ...)
  check(j, to)
  redis.call('ZREM', j.base .. 'leases', j.id)
  look_at(j, due)
  move(j, to, 'at', due, 'f', '', ...)
end

local function remember(j, t, code, message)
  local errors = j.base .. 'e:' .. j.id
  redis.call('RPUSH', errors, t .. ' ' .. j.a .. ' ' .. code .. ' ' .. message)
  redis.call('LTRIM', errors, -MAX_ERRORS, -1)
end

-- finish ends the job for good. Its callback is due from now on.
local function finish(j, t, to, ...)
  check(j, to)
  redis.call('ZREM', j.base .. 'leases', j.id)
  redis.call('ZREM', j.base .. 'open', j.id)
  redis.call('ZADD', j.base .. 'done', t + j.rt, j.id)
  if j.cb then redis.call('ZADD', j.base .. 'callbacks', t, j.id) end
  if j.s == 'running' then j.a = j.a + 1 end
  move(j, to, 'fi', t, 'a', j.a, 'f', '', ...)
end

-- users names the jobs that work on this one's files.
local function users(j) return j.base .. 'u:' .. j.id end

-- overdue is for how long the retention of an ended job has been over.
local function overdue(j, t) return t - number(redis.call('HGET', j.key, 'fi')) - j.rt end

-- remove forgets the job.
local function remove(j)
  local claimed = redis.call('HGET', j.key, 'ik')
  if claimed then redis.call('DEL', j.base .. 'i:' .. claimed) end
  redis.call('DEL', j.key, j.base .. 'p:' .. j.id, j.base .. 'r:' .. j.id, j.base .. 'g:' .. j.id, j.base .. 'e:' .. j.id,
    users(j))
  for _, index in ipairs({ 'open', 'leases', 'ids', 'done' }) do
    redis.call('ZREM', j.base .. index, j.id)
  end
  if j.cb then
    redis.call('ZREM', j.base .. 'callbacks', j.id)
    redis.call('DEL', j.base .. 'w:' .. j.id)
  end
end

local function ticket(j) return { j.id, j.d, j.q, j.t } end

-- cause says in a word why a job's part of a batch ended. What is neither our
-- own word nor damage (a read-only replica, a full disk) ends the whole call.
local function cause(err)
  local text = type(err) == 'table' and (err.err or '') or tostring(err)
  for _, word in ipairs({ 'future', 'refused', 'damaged' }) do
    if string.find(text, word, 1, true) then return word end
  end
  if string.find(text, 'WRONGTYPE', 1, true) then return 'damaged' end
  error(err)
end

-- each runs f for every job of the batch, with width arguments a job, and
-- answers for each. An error ends only that job's part.
local function each(width, f)
  local replies, t = {}, now()
  for i, key in ipairs(KEYS) do
    local from = (i - 1) * width
    local ok, reply = pcall(f, key, t, unpack(ARGV, from + 1, from + width))
    replies[i] = ok and reply or { cause(reply) }
  end
  publish()
  return replies
end
