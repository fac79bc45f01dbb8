-- The words of the long way: every move that is not the usual one. base.lua and raise.lua
-- stand before it, what layout.go generates too. A script decides first and writes last: what
-- it decides is a plan, whose seven stages are written in the order that record.md
-- rules, so that a command that fails leaves no job that nothing finds.
local match, floor = string.match, math.floor
local STATES, TERMINAL, MOVES, CODES = @STATES@, @TERMINAL@, ' @MOVES@ ', @CODES@
local LETTERS = {}
for letter, name in pairs(STATES) do LETTERS[name] = letter end
local NONE = string.rep('\0', 12)

local function number(v)
  local n = tonumber(v)
  if not n then error('damaged') end
  return n
end
local function int(v) return string.format('%.0f', v) end
local function r2(s, i)
  local a, b = byte(s, i, i + 1)
  return a * 256 + b
end
local function r4(s, i) return r2(s, i) * 65536 + r2(s, i + 2) end
local function r6(s, i) return r2(s, i) * 4294967296 + r4(s, i + 2) end
local function w2(v) return char((v - v % 256) / 256, v % 256) end
local function w4(v) return sub(w6(v), 3) end
local function has(flags, bit) return flags % (2 * bit) >= bit end
-- queues are all lists of tickets that there are here: the default queue's, and those that named ones have got.
local function queues()
  local all, named = { @QUEUES@ }, redis.pcall('ZRANGE', P .. 'queues', 0, -1)
  for _, queue in ipairs(named.err and {} or named) do all[#all + 1] = queue end
  return all
end
local function named(queue) return string.find(queue, ':', 1, true) end
local function hex(id) return (string.gsub(id, '.', function(c) return string.format('%02x', byte(c)) end)) end
local function dashed(id)
  local h = hex(id)
  return sub(h, 1, 8) .. '-' .. sub(h, 9, 12) .. '-' .. sub(h, 13, 16) .. '-' .. sub(h, 17, 20) .. '-' .. sub(h, 21)
end

-- The plan: of one job (mine) until it is decided, then of the call (plan).
local plan, mine, cores, own = {}, {}, {}, {}
local rares, said = {}, {} -- fields of x:, by id and name, as this call has left them
local blank = {} -- ids of which what x: has is another job's, that was there before
local successors -- of a job that ends (wait.lua)
local line_up, leave, spend -- of jobs with limits (slots.lua)
local touched, notice, left_batch, drop_share = {} -- batches of which a job has ended, and what then (batches.lua)
local function todo(stage, ...)
  mine[#mine + 1] = { stage, ... }
end

-- read is a record as this call has left it.
local function read(id)
  local core = own[id]
  if core == nil then core = cores[id] end
  if core == nil then core = call('GET', P .. 'j:' .. id) end
  return core
end

-- heads are known by number, within a call.
local heads = {}
local function read_head(text)
  local queue, attempts, timeout, retention, failed, tenant, kind = match(text, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+)$')
  if not queue then error('damaged') end
  return { queue = queue, attempts = tonumber(attempts), timeout = tonumber(timeout), retention = tonumber(retention),
    failed = tonumber(failed), tenant = tenant, kind = kind }
end
local function head_of(code)
  local h = heads[code]
  if not h then
    local said = call('HGET', P .. 'heads', code)
    if not said or #said < 9 then error('damaged') end
    h = read_head(sub(said, 9))
    h.family = sub(said, 1, 8)
    heads[code] = h
  end
  return h
end

-- load reads a record; nil if there is none. What it can't read ends the job's part.
local function load(id)
  local core = read(id)
  if not core then return nil end
  if #core < 29 or byte(core, 1) ~= @VERSION_NUMBER@ then
    error(#core > 0 and byte(core, 1) > @VERSION_NUMBER@ and 'future' or 'damaged')
  end
  local f1, f2, f3 = byte(core, 19, 21)
  local letter = sub(core, 2, 2)
  local j = { id = id, s = STATES[letter] or letter == '@RETRIED@' and 'failed', rt = letter == '@RETRIED@', code = sub(core, 3, 10), rev = sub(core, 11, 14), d = r2(core, 15), a = byte(core, 17),
    ls = byte(core, 18), created = r6(core, 22), entry = sub(core, 22, 29), cr = has(f1, @F_C@), owes = has(f1, @F_O@),
    p = has(f3, @F_P@), hx = has(f3, @F_H@), g = has(f3, @F_G@), v = has(f3, @F_V@), sy = has(f3, @F_S@), st = 0, f = '', lf = '' }
  if not j.s or f3 > @F_LAST@ then error('damaged') end
  local at, size = 30, #core
  local function part(n)
    at = at + n
    if at > size + 1 then error('damaged') end
    return at - n
  end
  local held = j.s == 'running' or j.s == 'uploading'
  if has(f1, @F_R@) then
    local i = part(18)
    local fence = sub(core, i + 6, i + 17)
    j.st = r6(core, i)
    if fence ~= NONE then
      if held then j.f = fence else j.lf = fence end
    end
  elseif held then
    error('damaged')
  end
  if has(f1, @F_L@) then j.lf = sub(core, part(12), at - 1) end
  if has(f1, @F_E@) then
    local i = part(19)
    j.fi, j.ec, j.usage = r6(core, i), byte(core, i + 6), sub(core, i + 7, i + 18)
  end
  if has(f1, @F_K@) then
    local n = r2(core, part(2))
    if n == 65535 then n = 0 end
    part(n)
    j.k = sub(core, at - n - 2, at - 1)
  end
  if has(f2, @F_A@) then j.at = r6(core, part(6)) end
  if has(f1, @F_X@) then j.x = r6(core, part(6)) end
  local from = at
  if has(f2, @F_M@) then j.m = sub(core, part(12), at - 1) end
  for _, fixed in ipairs({ { @F_T@, 25 }, { @F_B@, 16 }, { @F_F@, 4 } }) do
    if has(f2, fixed[1]) then
      local i = part(fixed[2])
      if fixed[1] == @F_B@ then j.b = sub(core, i, at - 1) end
    end
  end
  if has(f2, @F_I@) then j.ik = sub(core, part(16), at - 1) end
  if has(f2, @F_D@) then j.dg = sub(core, part(16), at - 1) end
  if has(f2, @F_U@) then part(byte(core, part(1))) end
  if has(f1, @F_N@) then
    local i = part(9)
    local n = byte(core, i + 8)
    j.inline = sub(core, part(n), at - 1)
    j.head = read_head(j.inline)
    j.head.family = sub(core, i, i + 7)
  else
    j.head = head_of(j.code)
  end
  j.fixed, j.payload = sub(core, from, at - 1), sub(core, at)
  j.f2 = f2 - (j.at and @F_A@ or 0)
  return j
end

-- is_claimed tells a run whose worker speaks HTTP (claims.go), by its fence.
local function is_claimed(fence) return sub(fence, 1, 4) == '@CLAIMER@' end

-- is_batch tells a job that waits for all that are submitted into it (batches.lua).
local function is_batch(j) return j.head.kind == '@BATCH@' end

-- hidden tells that a job is not for who asks: of another tenant ('' = of any is asked), or of another owner of it.
local function hidden(j, tenant, owner) return tenant ~= '' and (j.head.tenant ~= tenant or owner ~= '' and j.m ~= owner) end

-- put plans the record as it is now.
local function put(j)
  local held = j.s == 'running' or j.s == 'uploading'
  local fence = held and j.f or j.lf
  local f1 = (j.cr and @F_C@ or 0) + (j.owes and @F_O@ or 0) + (j.inline and @F_N@ or 0)
  local parts = {}
  if held or j.st > 0 or fence ~= '' then
    f1 = f1 + @F_R@
    parts[1] = w6(j.st) .. (fence == '' and NONE or fence)
  end
  if held and j.lf ~= '' then
    f1 = f1 + @F_L@
    parts[#parts + 1] = j.lf
  end
  if j.fi then
    f1 = f1 + @F_E@
    parts[#parts + 1] = w6(j.fi) .. char(j.ec) .. j.usage
  end
  if j.k then
    f1 = f1 + @F_K@
    parts[#parts + 1] = j.k
  end
  if j.at then parts[#parts + 1] = w6(j.at) end
  if j.x then
    f1 = f1 + @F_X@
    parts[#parts + 1] = w6(j.x)
  end
  local core = '@VERSION@' .. (j.rt and '@RETRIED@' or LETTERS[j.s]) .. j.code .. j.rev .. w2(j.d) .. char(math.min(j.a, 255), math.min(j.ls, 255), f1,
    j.f2 + (j.at and @F_A@ or 0), (j.p and @F_P@ or 0) + (j.hx and @F_H@ or 0) + (j.g and @F_G@ or 0) +
    (j.v and @F_V@ or 0) + (j.sy and @F_S@ or 0)) ..
    j.entry .. table.concat(parts) .. j.fixed .. j.payload
  own[j.id] = core
  return core
end

-- rare reads a field of x:, and set_rare plans one; '' takes it away.
local function rare(j, field)
  if not j.hx then return nil end
  local value = said[j.id .. field] or rares[j.id .. field] or not blank[j.id] and call('HGET', P .. 'x:' .. j.id, field)
  return value and value ~= '' and value or nil
end
local function set_rare(j, field, value)
  said[j.id .. field] = value
  if value == '' then
    if j.hx then todo(2, 'HDEL', P .. 'x:' .. j.id, field) end
    return
  end
  j.hx = true
  todo(2, 'HSET', P .. 'x:' .. j.id, field, value)
end

-- may tells whether the state machine has a move.
local function may(from, to) return string.find(MOVES, ' ' .. from .. '>' .. to .. ' ', 1, true) end
local function check(j, to)
  if to ~= j.s and not may(j.s, to) then error('refused') end
end

-- Rare states have an index. letter_of is what a job is counted and found under: a failed one that was
-- retried since has a letter of its own.
local RARE = { failed = true, canceled = true, expired = true, waiting = true }
local function letter_of(j) return j.rt and '@RETRIED@' or LETTERS[j.s] end
local function index_of(j, letter) return P .. 'st:' .. letter .. ':' .. j.head.family end

-- move is the only writer of a state: it raises rev, counts, and tells the listeners.
local function move(j, to)
  check(j, to)
  local from = j.s
  if from ~= to then
    if from ~= '' then todo(1, count, j.head.family .. LETTERS[from], -1) end
    todo(1, count, j.head.family .. LETTERS[to], 1)
    if from == 'running' then todo(1, count, 'runs:' .. j.head.queue, -1) end
    if to == 'running' then todo(1, count, 'runs:' .. j.head.queue, 1) end
    if RARE[to] then todo(3, 'ZADD', index_of(j, LETTERS[to]), int(t), j.id) end
    if RARE[from] then todo(6, 'ZREM', index_of(j, LETTERS[from]), j.id) end
    if j.owes and to == 'running' and from == 'queued' then
      local lm = rare(j, 'lm')
      if lm and string.find(lm, ':r:', 1, true) then todo(5, spend, j, lm) end
    end
    if j.owes and (TERMINAL[to] or (from == 'running' or from == 'queued') and to ~= 'queued' and to ~= 'running') then
      local lm = rare(j, 'lm')
      if lm then todo(5, leave, j, lm, TERMINAL[to]) end
    end
  end
  if from ~= to and j.b and TERMINAL[to] then todo(1, left_batch, j.b, LETTERS[to], j.id) end
  j.s, j.rev = to, raise(j.rev)
  put(j)
  todo(7, j.id .. j.rev .. LETTERS[to])
end

-- story notes what the record can't tell: a lost lease, who canceled or retried the job, a pause. A line is
-- the time, a word, the attempt, then who or what.
local function story(j, what, about)
  if not j.sy then todo(2, 'DEL', P .. 's:' .. j.id) end
  todo(2, 'RPUSH', P .. 's:' .. j.id, int(t) .. ' ' .. what .. ' ' .. j.a .. ' ' .. (about or ''))
  todo(2, 'LTRIM', P .. 's:' .. j.id, -@MAX_STORY@, -1)
  j.sy = true
end

-- bell tells whoever runs or receives the job that it is to stop.
local function bell(j)
  local id = dashed(j.id)
  todo(7, function() call('PUBLISH', '@PREFIX@:cancel', id) end)
end

-- look_at says when the job is to be looked at: never later than it expires. nil = never.
local function look_at(j, ms)
  if j.x and j.st == 0 and (not ms or j.x < ms) then ms = j.x end
  if ms then todo(2, 'ZADD', P .. 'when', int(ms), j.id) else todo(6, 'ZREM', P .. 'when', j.id) end
end
local function unlook(j) todo(6, 'ZREM', P .. 'when', j.id) end
local function lease(j, ends) todo(2, 'ZADD', P .. 'lease', int(ends), j.id) end
local function unlease(j) todo(6, 'ZREM', P .. 'lease', j.id) end

-- entry_of is what names a ticket, in a list and in its own key.
local function entry_of(j) return j.d > 1 and j.id .. w2(j.d) or j.id end

-- push plans the ticket of a queued job, ahead of what waits if it was served before. A
-- type that stands parked has a list of its own.
local function push(j, ahead)
  local lm = rare(j, 'lm')
  if lm then
    todo(5, line_up, j, lm, ahead)
    return
  end
  local queue, entry, kind = j.head.queue, entry_of(j), j.head.kind
  local Q = @QUEUE(queue)@
  local list, said = Q .. 'pending', ''
  if ahead and call('SISMEMBER', Q .. 'parked', kind) == 1 then
    list, said = Q .. 'pending:type:' .. kind, ' ' .. kind
  else
    todo(1, count, 'list:' .. queue, 1)
  end
  todo(5, function()
    local size = call(ahead and 'RPUSH' or 'LPUSH', list, entry)
    call('HSET', Q .. 't:' .. entry, 'msg', '@MSG@' .. hex(sub(entry, 1, 16)))
    if size == 1 then
      @RING(queue, said)@
    end
  end)
end

-- enqueue makes the job queued under a new delivery.
local function enqueue(j, ahead)
  check(j, 'queued')
  j.d = j.d >= 65535 and 2 or j.d + 1
  j.f = ''
  if j.s == 'running' or j.s == 'uploading' then unlease(j) end
  if j.s ~= '' then look_at(j) elseif j.x then look_at(j) end
  move(j, 'queued')
  push(j, ahead)
end

-- schedule lets the job wait for a time.
local function schedule(j, to, due)
  check(j, to)
  j.f, j.at = '', due
  if j.s == 'running' or j.s == 'uploading' then unlease(j) end
  look_at(j, due)
  move(j, to)
end

-- function_at is where in its fixed parts the version of a deployed function stands, or would: behind
-- the owner, the trace and the batch, where the record has them.
local function function_at(j)
  local from = 1
  for _, part in ipairs({ { @F_M@, 12 }, { @F_T@, 25 }, { @F_B@, 16 } }) do
    if has(j.f2, part[1]) then from = from + part[2] end
  end
  return from
end

-- remember keeps what went wrong with an attempt, and by which version of a deployed function it ran.
-- A key of another type is damage, and makes room.
local function remember(j, code, message)
  local errors = P .. 'e:' .. j.id
  local attempt = j.a
  if j.s == 'running' and has(j.f2, @F_F@) then
    local by = r4(j.fixed, function_at(j))
    if by > 0 then attempt = attempt .. '/' .. by end
  end
  local line = int(t) .. ' ' .. attempt .. ' ' .. code .. ' ' .. message
  if not j.v then todo(2, 'DEL', errors) end
  todo(2, 'RPUSH', errors, line)
  todo(2, 'LTRIM', errors, -@MAX_ERRORS@, -1)
  j.v = true
end

-- end_at is the list of ended jobs in which one is looked at that is over at a time.
local function end_at(id, over, step)
  local due = int(floor((over + step - 1) / step) * step / 1000)
  todo(2, 'ZADD', P .. 'ends', due, due)
  todo(2, 'RPUSH', P .. 'end:' .. due, id)
end
local function retention(j) return j.s == 'failed' and j.head.failed or j.head.retention end

-- erases tells whether the input of a job that ends so goes now, and not with its record.
local function erases(j, to)
  local when = j.owes and j.p and rare(j, 'di')
  return when and (when == '@DELETE_AT_END@' or to == 'succeeded')
end

-- finish ends the job for good; from now on it is due to be removed, and what it owes to be paid.
local function finish(j, to, code, usage)
  check(j, to)
  if j.owes and call('EXISTS', P .. 'w:' .. j.id) == 1 then todo(2, 'ZADD', P .. 'owes:webhook', int(t), j.id) end
  if erases(j, to) then todo(2, 'ZADD', P .. 'owes:input', int(t), j.id) end
  if j.s == 'running' and j.a < 255 then j.a = j.a + 1 end
  if j.s == 'running' or j.s == 'uploading' then unlease(j) end
  unlook(j)
  j.f, j.fi, j.usage, j.ec = '', t, usage or j.usage or '@NO_USAGE@', 0
  if code then
    j.ec = CODES[code] or @OTHER_CODE@
    if j.ec == @OTHER_CODE@ then set_rare(j, 'ec', code) end
  end
  move(j, to)
  local ret = retention(j)
  end_at(j.id, t + ret, ret < 600000 and 1000 or 60000)
  if j.owes then successors(j) end
end

local function users(j) return P .. 'u:' .. j.id end
local function overdue(j) return t - (j.fi or 0) - retention(j) end

-- forget plans to remove a job.
local function forget(j)
  todo(1, count, j.head.family .. letter_of(j), -1)
  todo(1, count, 'R' .. j.head.family .. letter_of(j), 1)
  if j.ik then
    local claimed = call('GET', P .. 'i:' .. j.ik)
    if claimed and sub(claimed, 1, 16) == j.id then todo(6, 'DEL', P .. 'i:' .. j.ik) end
  end
  local still = j.created + @CLAIM@ - t
  if j.dg and not j.ik and still > 0 then todo(2, 'SET', P .. 'c:' .. j.id, '1', 'NX', 'PX', int(still)) end
  local stream = P .. 'all:' .. j.head.family
  todo(6, 'XDEL', stream, int(j.created) .. '-' .. r2(j.entry, 7))
  todo(6, function() if call('XLEN', stream) == 0 then call('DEL', stream) end end)
  if RARE[j.s] then todo(6, 'ZREM', index_of(j, letter_of(j)), j.id) end
  if j.m then todo(6, 'ZREM', P .. 'own', j.m .. j.id) end
  local keys = { 'UNLINK', P .. 'j:' .. j.id, users(j) }
  if j.p then keys[#keys + 1] = P .. 'p:' .. j.id end
  if j.hx then keys[#keys + 1] = P .. 'x:' .. j.id end
  if j.g then keys[#keys + 1] = P .. 'g:' .. j.id end
  if j.v then keys[#keys + 1] = P .. 'e:' .. j.id end
  if j.sy then keys[#keys + 1] = P .. 's:' .. j.id end
  if j.k and r2(j.k, 1) == 65535 then keys[#keys + 1] = P .. 'r:' .. j.id end
  if j.st > 0 then -- logs of its last runs, which have a list each for a day
    for d = math.max(1, j.d - 19), j.d do keys[#keys + 1] = P .. 'l:' .. j.id .. ':' .. d end
  end
  if j.owes then
    todo(6, 'ZREM', P .. 'owes:webhook', j.id)
    todo(6, 'ZREM', P .. 'owes:input', j.id)
    keys[#keys + 1] = P .. 'w:' .. j.id
    keys[#keys + 1] = P .. 'd:' .. j.id
    local uk = rare(j, 'uk')
    if uk and redis.pcall('GET', P .. 'k:' .. sub(uk, 3, 18)) == j.id then todo(6, 'DEL', P .. 'k:' .. sub(uk, 3, 18)) end
  end
  if is_batch(j) then drop_share(j.id) end
  todo(6, unpack(keys))
  own[j.id] = false
end

local function ticket(j) return { j.id, j.d, j.head.queue, j.head.kind } end

-- cause says in a word why a job's part of a call ended. What is neither our own word
-- nor damage (a read-only replica, a full disk) ends the whole call.
local function cause(err)
  local said = type(err) == 'table' and (err.err or '') or tostring(err)
  for _, word in ipairs({ 'future', 'refused', 'damaged' }) do
    if string.find(said, word, 1, true) then return word end
  end
  if string.find(said, 'WRONGTYPE', 1, true) then return 'damaged' end
  error(err)
end

-- decide runs f, and keeps what it has planned if it ends well.
local function decide(f, ...)
  mine, own, said = {}, {}, {}
  local ok, reply = pcall(f, ...)
  if not ok then
    mine, own, said = {}, {}, {}
    return false, cause(reply)
  end
  for _, step in ipairs(mine) do plan[#plan + 1] = step end
  for id, core in pairs(own) do
    cores[id] = core
    if core then plan[#plan + 1] = { 4, 'SET', P .. 'j:' .. id, core } end
  end
  for name, value in pairs(said) do rares[name] = value end
  mine, own, said = {}, {}, {}
  return true, reply
end

-- side runs a command about one job, or an index of a family. A key of another type, which only a strange
-- hand can have made, makes room: what can be made anew by doctor --fix is marked.
local function side(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    local name = sub(key, #P + 1)
    local shared = name == 'own' or name == 'tenants' -- of all jobs: the walk gives it back what it lacks
    if not string.find(reply.err, 'WRONGTYPE', 1, true) or sub(key, 1, #P) ~= P or not (shared or match(name, '^[a-z]+:')) then error(reply) end
    call('DEL', key)
    call('HSET', P .. 'n', 'bad', '1')
    if shared then call('SET', P .. 'mend', '3') end
    call(command, key, ...)
  end
end

-- flush writes the plan, stage by stage, then what comes of it for batches.
local flush
flush = function()
  local stages, events = { {}, {}, {}, {}, {}, {}, {} }, {}
  for _, step in ipairs(plan) do
    local stage = stages[step[1]]
    stage[#stage + 1] = step
  end
  plan = {}
  for i, stage in ipairs(stages) do
    for _, step in ipairs(stage) do
      local what = step[2]
      if type(what) == 'function' then
        what(step[3], step[4], step[5])
      elseif i == 7 then
        events[#events + 1] = what
      else
        side(unpack(step, 2))
      end
    end
  end
  if events[1] then call('PUBLISH', '@PREFIX@:events', table.concat(events)) end
  if next(touched) then
    local list = touched
    touched = {}
    for b in pairs(list) do decide(notice, b) end
    flush()
  end
end

-- each runs f for every job of the call, whose id is the first of its width texts, and
-- answers for each. An error ends only that job's part.
local function each(width, f)
  local replies = {}
  for i = 1, #ARGV, width do
    local _, reply = decide(f, unpack(ARGV, i, i + width - 1))
    replies[#replies + 1] = type(reply) == 'table' and reply or { reply }
  end
  flush()
  return replies
end

-- set_aside is for what can't be read: no index leads to it any more, doctor names it.
local function set_aside(id)
  for _, set in ipairs({ 'lease', 'when', 'owes:webhook', 'owes:after', 'owes:batch', 'owes:input' }) do todo(6, 'ZREM', P .. set, id) end
  todo(2, 'ZADD', P .. 'aside', int(t), id)
end
