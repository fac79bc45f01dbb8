-- The words that the scripts share. MOVES, VERSION, LIMITS and now() are put
-- before this text by script.go.

local function number(v)
  local n = tonumber(v)
  if not n then error('damaged') end
  return n
end

-- at names one job's keys out of its record's key, "P:{k}:j:<id>".
local function at(key)
  local base, id = string.match(key, '^(.*}:)j:(.*)$')
  return { key = key, base = base, id = id, prefix = string.match(base, '^(.*):{') }
end

-- load reads the part of a record that moves need; nil if there is none.
local function load(key)
  local f = redis.call('HMGET', key, 'v', 's', 'n', 'd', 'q', 't', 'a', 'm', 'f', 'lf', 'cr', 'ls', 'st', 'at', 'x')
  if not f[1] then
    if redis.call('EXISTS', key) == 1 then error('damaged') end
    return nil
  end
  if f[1] ~= VERSION then
    if (tonumber(f[1]) or 0) > tonumber(VERSION) then error('future') end
    error('damaged')
  end
  local j = at(key)
  j.s, j.q, j.t, j.f, j.lf = f[2], f[5], f[6], f[9] or '', f[10] or ''
  if not (STATES[j.s] and j.q and j.t) then error('damaged') end
  j.n, j.d, j.a, j.m = number(f[3]), number(f[4]), number(f[7]), number(f[8])
  j.cr, j.ls = f[11] == '1', number(f[12] or 0)
  j.st, j.at, j.x = f[13], f[14] and number(f[14]), f[15] and number(f[15])
  return j
end

-- check ends a job's part of the batch before anything of it was written.
local function check(j, to)
  if to ~= j.s and not MOVES[j.s .. '>' .. to] then error('refused') end
end

-- move is the only writer of a state: it raises rev and tells the listeners.
local function move(j, to, ...)
  check(j, to)
  j.n, j.s = j.n + 1, to
  redis.call('HSET', j.key, 's', to, 'n', j.n, ...)
  redis.call('PUBLISH', j.prefix .. ':events', j.id .. ' ' .. j.n .. ' ' .. to)
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

-- finish ends the job for good.
local function finish(j, t, to, ...)
  check(j, to)
  redis.call('ZREM', j.base .. 'leases', j.id)
  redis.call('ZREM', j.base .. 'open', j.id)
  redis.call('ZADD', j.base .. 'done', t + number(redis.call('HGET', j.key, 'rt')), j.id)
  if j.s == 'running' then j.a = j.a + 1 end
  move(j, to, 'fi', t, 'a', j.a, 'f', '', ...)
end

-- remove forgets the job.
local function remove(j)
  local claimed = redis.call('HGET', j.key, 'ik')
  if claimed then redis.call('DEL', j.base .. 'i:' .. claimed) end
  redis.call('DEL', j.key, j.base .. 'p:' .. j.id, j.base .. 'r:' .. j.id, j.base .. 'g:' .. j.id, j.base .. 'e:' .. j.id)
  for _, index in ipairs({ 'open', 'leases', 'ids', 'done' }) do
    redis.call('ZREM', j.base .. index, j.id)
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
  return replies
end
