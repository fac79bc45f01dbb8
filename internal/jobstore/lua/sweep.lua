-- sweep: one partition. It finds what is due, moves what it can and answers
-- { 1 if there is more than the limit let it take, -1 if somebody else has just swept, 1 if tickets were lost, found },
-- where found has
-- { kind, { id, delivery, queue, type }, … }:
--   head   re-issued: ahead of what waits    tail    its time has come
--   mended its ticket was gone               upload  in pieces, silent for a while: is it whole, or over?
--   gone   removed: its blobs may go         used    its retention is over, but others may still use its files
--   lost   its lease ended: for the log, with the state that came of it
--   enter  it waits for others: is it entered at all of them?
--   input  it has ended, and its input is to go now
--   after  it has ended, and these wait for it in other partitions: the letter of its state, their ids
--   bad    what can't be read, set aside
-- and, behind them, the names of schedules that are due, where who sweeps makes ticks: he is told each time,
-- since the gap may be somebody's who makes none; and TIME.
-- ARGV: lease, cap of a canceled run's, gap below which there is nothing to do, limit, how many schedules at most.
local lease_ms, cap_ms, min_gap, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local found, more, walk = {}, 0, 0

local function tell(kind, j, ...) found[#found + 1] = { kind, ticket(j), ... } end

-- again: the job runs once more. After many losses that proved nothing it waits
-- first, longer each time: whatever ends its workers, they get some peace.
local function again(j, lost)
  local late = lost - @PATIENT@
  if late < 0 then
    enqueue(j, true)
    tell('head', j)
  else
    schedule(j, 'scheduled', t + math.min(@REST@ * 2 ^ late, @REST_MAX@))
  end
end

-- timed_out: a run that was claimed over HTTP is over its time: nobody kills its worker, which hears of it when it asks.
local function timed_out(j)
  local message = 'the attempt ran longer than ' .. int(j.head.timeout / 1000) .. ' s'
  if j.a + 1 < j.head.attempts then
    local lot = (t + byte(j.id, 15) * 256 + byte(j.id, 16)) % 1000 -- math.random says the same in each script
    retry(j, 'timeout', message, (lot + 1) * math.min(2 ^ math.min(j.a, 10), 300), '@NO_USAGE@')
  else
    given_up(j, 'timeout', message)
  end
end

-- lost: nobody renewed the lease. Only a run that was young when it was heard of
-- last makes a suspect: a job that ends its worker does so soon, and one that
-- has run for long has shown that it doesn't.
local function lost(j)
  local others, lease_ms = number(rare(j, 'lo') or 0), lease_ms
  if is_claimed(j.f) then
    lease_ms = @CLAIM_LEASE@
    if not j.cr and t >= j.st + j.head.timeout then
      timed_out(j)
      return
    end
  end
  if j.s == 'running' then story(j, 'lost', hex(sub(j.f, 1, 4))) end
  if j.s == 'uploading' then
    remember(j, 'upload_incomplete', 'the upload ended before its last byte')
    if j.p then todo(6, 'UNLINK', P .. 'p:' .. j.id) end -- its files go with the record: the id may be another upload's by now
    j.p = false
    finish(j, 'failed', 'upload_incomplete')
  elseif j.cr then
    finish(j, 'canceled')
  elseif t - lease_ms - j.st >= @YOUNG@ then
    j.ls = 0
    set_rare(j, 'lo', int(others + 1))
    again(j, others + 1)
  elseif j.ls + 1 >= @POISONED@ then
    j.ls, j.a = j.ls + 1, j.a + 1
    remember(j, 'poisoned', 'its workers died ' .. j.ls .. ' times in a row')
    j.a = j.a - 1
    finish(j, 'failed', 'poisoned')
  else
    j.ls = j.ls + 1
    again(j, others)
  end
end

-- expire: the retention is over. While others use the job's files it is
-- postponed, at first a little, at most by USED_MAX. A callback that is still
-- to be delivered holds the record back, for a while.
local function expire(j)
  if not TERMINAL[j.s] then return end
  local over = overdue(j)
  if over < 0 then
    end_at(j.id, t - over, 1000)
  elseif call('EXISTS', users(j)) == 1 then
    end_at(j.id, t + math.min(math.max(over, @USED_MIN@), @USED_MAX@), 1000)
    tell('used', j)
  elseif kept(j) then
    end_at(j.id, t + math.min(math.max(over, 10 * @USED_MAX@), 60 * @USED_MAX@), 60000)
  elseif j.owes and call('ZSCORE', P .. 'owes:after', j.id) then
    end_at(j.id, t + @LOOK@, 1000)
  elseif j.owes and over < @CALLBACK_HOLD@ and call('ZSCORE', P .. 'owes:webhook', j.id) then
    end_at(j.id, t + @PUSH@, 1000)
  else
    forget(j)
    tell('gone', j)
  end
end

-- due: it is time to look at a job that hasn't ended.
local function due(j)
  if TERMINAL[j.s] then
    unlook(j)
  elseif j.s == 'waiting' and is_batch(j) then
    local word, pause = look_batch(j)
    if word ~= 'open' then tell('batch', j, word, int(pause)) end
  elseif j.x and j.x <= t and j.st == 0 and may(j.s, 'expired') then
    local was = j.s
    finish(j, 'expired')
    if was == 'uploading' then tell('gone', j) end
  elseif j.s == 'scheduled' or j.s == 'retrying' then
    if (j.at or 0) > t then
      look_at(j, j.at)
    else
      local suspect = j.ls >= @SUSPECT@ -- it has waited for its turn already
      enqueue(j, suspect)
      tell(suspect and 'head' or 'tail', j)
    end
  elseif j.s == 'queued' then
    look_at(j)
    if call('EXISTS', @QUEUE(j.head.queue)@ .. 't:' .. entry_of(j)) == 0 then
      j.d = j.d >= 65535 and 2 or j.d + 1
      put(j)
      push(j, true)
      tell('mended', j)
    end
  elseif j.s == 'uploading' and rare(j, 'ux') then
    local over, wait = number(rare(j, 'ux')), math.min(number(rare(j, 'k') or @LOOK@) * 2, @LOOK_MAX@)
    set_rare(j, 'k', int(wait))
    put(j)
    look_at(j, over > t and over < t + wait and over or t + wait)
    tell('upload', j)
  elseif j.s == 'waiting' then
    if ready(j) then -- a script stopped before it let it go
      go(j)
      tell('mended', j)
    elseif open_after(rare(j, 'af')) then
      local pause = math.min(number(rare(j, 'k') or @LOOK@) * 2, @LOOK_MAX@)
      set_rare(j, 'k', int(pause))
      look_at(j, t + pause)
      tell('enter', j)
    else
      look_at(j)
    end
  else
    look_at(j)
  end
end

-- pay tells those that are after an ended job how it ended.
local function pay(j)
  local left, away = 0, {}
  if TERMINAL[j.s] then left, away = settle_after(j) end
  if left <= 0 then
    todo(6, 'ZREM', P .. 'owes:after', j.id)
    return
  end
  more = 1
  if away[1] then tell('after', j, LETTERS[j.s], unpack(away)) end
end

-- erase has a job's input deleted. Who is told now may die, or finds that others use the file: it is told again.
local function erase(j)
  todo(2, 'ZADD', P .. 'owes:input', int(t + math.min(math.max(t - (j.fi or t), @USED_MIN@), @USED_MAX@)), j.id)
  tell('input', j)
end

-- leased: a lease has ended. One of a job that is queued was left by a script that stopped: is its ticket there?
local function leased(j)
  if j.s ~= 'running' and j.s ~= 'uploading' then
    unlease(j)
    if j.s == 'queued' then due(j) end
    return
  end
  lost(j)
  tell('lost', j, j.s)
end

-- guard runs f on a job of an index; a damaged record leaves the indexes.
local function guard(id, set, f)
  local ok, err = decide(function()
    local j = load(id)
    if j then f(j) elseif set then todo(6, 'ZREM', P .. set, id) end
  end)
  if ok then return end
  if err == 'future' then
    decide(function()
      if set then todo(2, 'ZADD', P .. set, int(t + @PUSH@), id) else end_at(id, t + 3600000, 60000) end
    end)
    return
  end
  decide(set_aside, id)
  if not set then decide(end_at, id, t + 3600000, 60000) end
  if call('ZSCORE', P .. 'aside', id) then return end -- was named before
  found[#found + 1] = { 'bad', { id, 0, '', '' } }
end

-- batches tells how far those are of which something has changed. Where there are many partitions, Go does.
local function batches()
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'owes:batch', '-inf', int(t), 'LIMIT', 0, limit)) do
    if @PARTS@ > 1 then
      call('ZADD', P .. 'owes:batch', int(t + @STALL@), id) -- who is told now may die
      found[#found + 1] = { 'shares', { id, 0, '', '' }, int(t + @STALL@) }
    else
      guard(id, 'owes:batch', function(j)
        todo(2, 'ZREM', P .. 'owes:batch', id)
        if j.s == 'waiting' and is_batch(j) then judge(j, share(id)) end
      end)
    end
  end
end

local function take(set, f)
  local ids = call('ZRANGEBYSCORE', P .. set, '-inf', int(t), 'LIMIT', 0, limit)
  if #ids == limit then more = 1 end
  for _, id in ipairs(ids) do guard(id, set, f) end
end

-- bad marks that something was taken away: the walk gives jobs back what indexes must have of them, and
-- counters are for doctor --fix.
local function bad(key)
  call('DEL', key)
  call('HSET', P .. 'n', 'bad', '1')
  call('SET', P .. 'mend', '3')
end

-- ended looks at the jobs whose retention may be over, list by list.
local function ended()
  local left, trims = limit, {}
  for _, due in ipairs(call('ZRANGEBYSCORE', P .. 'ends', '-inf', int(floor(t / 1000)), 'LIMIT', 0, 10)) do
    if left <= 0 then break end
    local ids = redis.pcall('LRANGE', P .. 'end:' .. due, 0, left - 1)
    if ids.err then
      bad(P .. 'end:' .. due)
      ids = {}
    end
    for _, id in ipairs(ids) do guard(id, nil, expire) end
    left = left - #ids
    trims[#trims + 1] = { due, #ids }
  end
  if left <= 0 then more = 1 end
  flush()
  for _, trim in ipairs(trims) do
    local list = P .. 'end:' .. trim[1]
    call('LTRIM', list, trim[2], -1)
    if call('EXISTS', list) == 0 then call('ZREM', P .. 'ends', trim[1]) end
  end
end

-- rearm gives leases back the time that stood still since the last sweep, in
-- which nobody could renew, and no more: a lease that got its full time again
-- would never end where Redis stalls now and then. The first part of a gap
-- (PACE) doesn't stand still, so that leases end even if every gap is long. Where
-- TIME went back there is nothing to give. It counts no loss.
local function rearm(gap)
  local still = gap > @PACE@ and gap - @PACE@ or 0
  local all = call('ZRANGE', P .. 'lease', 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    local id, was = all[i], tonumber(all[i + 1])
    local ok, core = pcall(read, id)
    local canceled = ok and core and #core >= 29 and has(byte(core, 19), @F_C@)
    local most, cap = lease_ms, cap_ms
    if ok and core and #core >= 47 and is_claimed(sub(core, 36)) then most, cap = @CLAIM_LEASE@, @CLAIM_CAP@ end
    local ends = math.min(was + still, t + ((canceled and cap < most) and cap or most))
    if ends ~= was then call('ZADD', P .. 'lease', int(ends), id) end
  end
end

-- walk_over goes over an index, a part a sweep, from when its cursor was set until it has seen all.
local function walk_over(set, f)
  local cursor_key = P .. 'rewind:' .. set
  local cursor = call('GET', cursor_key)
  if not cursor then return end
  local page = call('ZSCAN', P .. set, cursor, 'COUNT', limit)
  for i = 1, #page[2], 2 do f(page[2][i], tonumber(page[2][i + 1])) end
  if page[1] == '0' then call('DEL', cursor_key) else call('SET', cursor_key, page[1]) end
end

-- rewind: TIME went back, so looks and callbacks lie too far ahead.
local function rewind()
  walk_over('when', function(id, score)
    if score <= t + @LOOK@ then return end
    guard(id, 'when', function(j)
      if j.s == 'queued' or j.s == 'waiting' or j.s == 'uploading' and rare(j, 'ux') then look_at(j, t + @LOOK@) end
    end)
  end)
  walk_over('later', function(class, score)
    if score > t then call('ZADD', P .. 'later', int(t), class) end
  end)
  walk_over('owes:after', function(id, score)
    if score > t then call('ZADD', P .. 'owes:after', int(t), id) end
  end)
  for _, set in ipairs({ 'owes:batch', 'owes:input' }) do
    walk_over(set, function(id, score)
      if score > t then call('ZADD', P .. set, int(t), id) end
    end)
  end
  walk_over('owes:webhook', function(id, score)
    if score <= t then return end
    -- It waits for its pause or its claim at most; one that was never claimed for nothing.
    local ok, wait = pcall(call, 'HGET', P .. 'w:' .. id, 'd')
    local most = t + (ok and tonumber(wait or 0) or 0)
    if score > most then call('ZADD', P .. 'owes:webhook', int(most), id) end
  end)
end

local KINDS = { 'n', 'hash', 'mend', 'string', 'heads', 'hash', 'last', 'string', 'sweep', 'string', 'walk', 'string', 'lease', 'zset',
  'when', 'zset', 'ends', 'zset', 'owes:webhook', 'zset', 'owes:after', 'zset', 'owes:batch', 'zset', 'owes:input', 'zset', 'aside', 'zset', 'own', 'zset', 'tenants', 'set', 'ticks', 'zset',
  'revs', 'string', 'queues', 'zset', 'limits', 'hash', 'classes', 'set', 'seats', 'string', 'hurry', 'set',
  'later', 'zset' }

-- sound makes room where a strange hand has left a key of another type: it would stop each sweep and move.
local function sound()
  local function look(key, kind)
    local is = call('TYPE', key).ok
    if is ~= 'none' and is ~= kind then bad(key) end -- n comes first: the mark goes into it
  end
  for i = 1, #KINDS, 2 do look(P .. KINDS[i], KINDS[i + 1]) end
  for _, queue in ipairs(queues()) do
    local Q = @QUEUE(queue)@
    look(Q .. 'pending', 'list')
    look(Q .. 'parked', 'set')
  end
end

-- compare holds each list of tickets against its number: what asynq's tools took away is missed.
local function compare()
  for _, queue in ipairs(queues()) do
    local have, field = call('LLEN', @QUEUE(queue)@ .. 'pending'), 'list:' .. queue
    local want = tonumber(call('HGET', P .. 'n', field) or 0)
    if have ~= want then
      call('HSET', P .. 'n', field, have)
      if want and have < want then call('SET', P .. 'walk', '1') end
    end
  end
  walk = call('EXISTS', P .. 'walk', P .. 'mend') > 0 and 1 or 0
end

-- seats looks at some classes: slots of jobs that don't hold them any more are free, and lines go on that nobody moved, for
-- a limit was raised, or removed. First come those that a pump left before it was done.
local function look_over(class)
  local ok = pcall(function()
    local _, to_end = bound(class)
    for _, id in ipairs(call('SRANDMEMBER', P .. 'slots:' .. class, @CLASSES@)) do
      local read, j = pcall(load, id)
      local holds = read and j and (HOLDS[j.s] or to_end and not TERMINAL[j.s]) and (j.s == 'queued' or not timed(class))
      if not holds and (read or not string.find(tostring(j), 'future', 1, true)) then call('SREM', P .. 'slots:' .. class, id) end
    end
    pump(class)
  end)
  if not ok then spoilt(class) end
end

local function seats()
  for _, class in ipairs(call('SPOP', P .. 'hurry', @CLASSES@)) do look_over(class) end
  if call('EXISTS', P .. 'hurry') == 1 then more = 1 end
  local page = redis.pcall('SSCAN', P .. 'classes', call('GET', P .. 'seats') or '0', 'COUNT', @CLASSES@)
  if page.err then page = { '0', {} } end
  for _, class in ipairs(page[2]) do look_over(class) end
  if page[1] == '0' then call('DEL', P .. 'seats') else call('SET', P .. 'seats', page[1]) end
end

local said = redis.pcall('GET', P .. 'sweep') -- a key of another type is none: sound makes room
local last = type(said) == 'string' and tonumber(said) or nil
local gap = last and t - last or @STALL@ + lease_ms
if gap < 0 or gap >= min_gap then
  sound()
  call('SET', P .. 'sweep', int(t))
  if gap < 0 or gap > @STALL@ then rearm(gap) end
  if gap < 0 then call('MSET', P .. 'rewind:when', '0', P .. 'rewind:later', '0', P .. 'rewind:owes:after', '0', P .. 'rewind:owes:batch', '0', P .. 'rewind:owes:input', '0', P .. 'rewind:owes:webhook', '0') end
  rewind()
  take('lease', leased)
  take('when', due)
  most_told = @TELL_SWEEP@
  take('owes:after', pay)
  take('owes:input', erase)
  batches()
  ended()
  if call('EXISTS', P .. 'classes', P .. 'hurry') > 0 then
    seats()
    if serve(limit) == limit then more = 1 end
  end
  compare()
else
  more = -1
end
local ticks, most = {}, tonumber(ARGV[5])
if most > 0 then
  ticks = call('ZRANGEBYSCORE', P .. 'ticks', '-inf', int(t), 'LIMIT', 0, most)
end
return { more, walk, found, ticks, t }
