-- The words that the scripts share. The constants and now() are put before this
-- text by script.go. Making these closures and tables costs some µs: the scripts
-- of the usual moves put it all in a function, which they call for what is rare.

local call, sub, match = redis.call, string.sub, string.match

local function number(v)
  local n = tonumber(v)
  if not n then error('damaged') end
  return n
end

-- text holds numbers as strings: Lua and Redis write each number anew, and a
-- batch has the same ones again and again.
local text = setmetatable({}, { __index = function(t, n)
  local s = string.format('%.0f', n)
  t[n] = s
  return s
end })

-- at names one job's keys out of its record's key, "P:{k}:j:<id>".
local function at(key)
  return { key = key, base = sub(key, 1, -39), id = sub(key, -36) }
end

-- events are the changes of this call. They are published together, as lines
-- of one message: a message a change costs more than the change.
local events = {}
local function publish()
  if events[1] then call('PUBLISH', PREFIX .. ':events', table.concat(events, '\n')) end
end

-- Entries of the indexes are gathered, and written by index() before anything
-- reads an index again: one command for many jobs of a shard.
local added, removed = {}, {}
local function gather(lists, key, a, b)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  local n = #list
  list[n + 1], list[n + 2] = a, b
end
local function index()
  for key, entries in pairs(removed) do call('ZREM', key, unpack(entries)) end
  for key, entries in pairs(added) do call('ZADD', key, unpack(entries)) end
  added, removed = {}, {}
end

-- load reads the part of a record that moves need; nil if there is none.
-- Fields h and m are packed: see record.go.
local HEAD = '^' .. VERSION .. ' (%S+) (%d+) (%d+) (%d+) (%d+) ([01]) (%S+)$'
local MOVING = '^(%a) (%d+) (%d+) (%d+) (%d+) (%d+) ([01]) (%S+) (%S+)$'
local function load(key)
  local packed = call('HMGET', key, 'h', 'm')
  local h, m = packed[1], packed[2]
  if not h then
    if call('EXISTS', key) == 1 then error('damaged') end
    return nil
  end
  local q, attempts, timeout, retention, x, cb, kind = match(h, HEAD)
  local s, n, d, a, ls, st, cr, f, lf = match(m or '', MOVING)
  s = STATES[s]
  if not (q and s) then
    local version = tonumber(match(h, '^(%d+) '))
    error(version and version > tonumber(VERSION) and 'future' or 'damaged')
  end
  return { key = key, base = sub(key, 1, -39), id = sub(key, -36), h = h, q = q, m = tonumber(attempts), to = timeout,
    rt = tonumber(retention), x = x ~= '0' and tonumber(x) or nil, cb = cb == '1', t = kind, s = s, n = tonumber(n), d = tonumber(d),
    a = tonumber(a), ls = tonumber(ls), st = st ~= '0' and st or nil, cr = cr == '1',
    f = f ~= '-' and f or '', lf = lf ~= '-' and lf or '' }
end

-- pack writes field m.
local function pack(j)
  return LETTERS[j.s] .. ' ' .. text[j.n] .. ' ' .. text[j.d] .. ' ' .. text[j.a] .. ' ' .. text[j.ls] .. ' ' ..
    (j.st or '0') .. (j.cr and ' 1 ' or ' 0 ') .. (j.f ~= '' and j.f or '-') .. ' ' .. (j.lf ~= '' and j.lf or '-')
end

-- may tells whether the state machine has a move. MOVES is a text, "from>to"
-- with spaces around each: a table would be made anew with every call.
local function may(from, to) return string.find(MOVES, ' ' .. from .. '>' .. to .. ' ', 1, true) end

-- check ends a job's part of the batch before anything of it was written.
local function check(j, to)
  if to ~= j.s and not may(j.s, to) then error('refused') end
end

-- move is the only writer of a state: it raises rev and tells the listeners.
-- What else has changed in j is written along; further fields may be given.
local function move(j, to, ...)
  check(j, to)
  j.n, j.s = j.n + 1, to
  j.packed = pack(j)
  call('HSET', j.key, 'm', j.packed, ...)
  events[#events + 1] = j.id .. ' ' .. text[j.n] .. ' ' .. to
end

-- look_at says when the job is to be looked at again, never later than it expires.
local function look_at(j, ms)
  if j.x and not j.st and j.x < ms then ms = j.x end
  gather(added, j.base .. 'due', text[ms], j.id)
end

-- look_some_time says when a queued job's ticket is to be looked for that can
-- hardly be lost. Such looks stand below all others in the index, and a sweep
-- takes a few of them only.
local function look_some_time(j, ms)
  if j.x and not j.st then return look_at(j, ms) end
  gather(added, j.base .. 'due', text[ms - ASIDE], j.id)
end

-- enqueue makes the job queued under a new delivery; the caller's caller enqueues the ticket.
local function enqueue(j, t)
  check(j, 'queued')
  j.d, j.f = j.d + 1, ''
  gather(removed, j.base .. 'leases', j.id)
  look_at(j, t + LOOK)
  call('HDEL', j.key, 'k')
  move(j, 'queued')
end

-- schedule lets the job wait for a time.
local function schedule(j, to, due, ...)
  check(j, to)
  j.f = ''
  gather(removed, j.base .. 'leases', j.id)
  look_at(j, due)
  move(j, to, 'at', text[due], ...)
end

local function remember(j, t, code, message)
  local errors = j.base .. 'e:' .. j.id
  call('RPUSH', errors, t .. ' ' .. j.a .. ' ' .. code .. ' ' .. message)
  call('LTRIM', errors, -MAX_ERRORS, -1)
end

-- finish ends the job for good; from now on it is due to be removed, and its
-- callback to be delivered.
local function finish(j, t, to, ...)
  check(j, to)
  if j.cb then call('ZADD', j.base .. 'callbacks', text[t], j.id) end
  if j.s == 'running' then j.a = j.a + 1 end
  if j.s == 'running' or j.s == 'uploading' then gather(removed, j.base .. 'leases', j.id) end
  gather(added, j.base .. 'due', text[t + j.rt], j.id)
  j.f = ''
  move(j, to, 'fi', text[t], ...)
end

-- users names the jobs that work on this one's files.
local function users(j) return j.base .. 'u:' .. j.id end

-- overdue is for how long the retention of an ended job has been over.
local function overdue(j, t) return t - number(call('HGET', j.key, 'fi')) - j.rt end

-- remove forgets the job.
local function remove(j)
  local claimed = call('HGET', j.key, 'ik')
  if claimed and call('GET', j.base .. 'i:' .. claimed) == j.id then call('DEL', j.base .. 'i:' .. claimed) end
  call('DEL', j.key, j.base .. 'p:' .. j.id, j.base .. 'r:' .. j.id, j.base .. 'g:' .. j.id, j.base .. 'e:' .. j.id,
    users(j))
  for _, index in ipairs({ 'due', 'leases', 'ids' }) do
    call('ZREM', j.base .. index, j.id)
  end
  if j.cb then
    call('ZREM', j.base .. 'callbacks', j.id)
    call('DEL', j.base .. 'w:' .. j.id)
  end
end

local function ticket(j) return { j.id, j.d, j.q, j.t } end

-- cause says in a word why a job's part of a batch ended. What is neither our
-- own word nor damage (a read-only replica, a full disk) ends the whole call.
local function cause(err)
  local said = type(err) == 'table' and (err.err or '') or tostring(err)
  for _, word in ipairs({ 'future', 'refused', 'damaged' }) do
    if string.find(said, word, 1, true) then return word end
  end
  if string.find(said, 'WRONGTYPE', 1, true) then return 'damaged' end
  error(err)
end

-- flush writes what all jobs of a call have left.
local function flush()
  index()
  publish()
end
