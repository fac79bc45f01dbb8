-- sweep: once for each shard, KEYS[i] = "P:{k}:swept". It finds what is due,
-- moves what it can and answers with what needs a ticket or a look:
-- { kind, { id, delivery, queue, type } } with kind
--   head   re-issued after a lost lease: ahead of what waits
--   tail   its time has come
--   look   queued for a while: is its ticket still there?
--   upload an upload in pieces that was silent for a while: is it whole, or over?
--   gone   removed: its blobs may go
--   used   its retention is over, but others may still use its files
--   lost   its lease ended: for the log, with the state that came of it
--   bad    quarantined
-- and whether more is due than the limit let it take. looks is the limit of
-- looks for tickets that can hardly be lost; what is beyond it waits for the next sweep.
local lease_ms, cap_ms, min_gap, limit, looks = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]),
  tonumber(ARGV[5])
local t, found, more = now(), {}, 0

local function tell(kind, j) found[#found + 1] = { kind, ticket(j) } end

-- again: the job runs once more. After many losses that proved nothing it waits
-- first, longer each time: whatever ends its workers, they get some peace.
local function again(j)
  local late = number(call('HGET', j.key, 'lo') or 0) - PATIENT
  if late < 0 then
    enqueue(j, t)
    tell('head', j)
  else
    schedule(j, 'scheduled', t + math.min(REST * 2 ^ late, REST_MAX))
  end
end

-- lost: nobody renewed the lease. Only a run that was young when it was heard of
-- last makes a suspect: a job that ends its worker does so soon, and one that
-- has run for long has shown that it doesn't.
local function lost(j)
  if j.s == 'uploading' then
    finish(j, t, 'failed', 'ec', 'upload_incomplete')
    remember(j, t, 'upload_incomplete', 'the upload ended before its last byte')
    call('DEL', j.base .. 'p:' .. j.id) -- its files go with the record: the id may be another upload's by now
  elseif j.s ~= 'running' then
    call('ZREM', j.base .. 'leases', j.id)
  elseif j.cr then
    finish(j, t, 'canceled')
  elseif t - lease_ms - number(j.st or t) >= YOUNG then
    j.ls = 0
    call('HINCRBY', j.key, 'lo', 1)
    again(j)
  elseif j.ls + 1 >= POISONED then
    j.ls = j.ls + 1
    finish(j, t, 'failed', 'ec', 'poisoned')
    remember(j, t, 'poisoned', 'its workers died ' .. j.ls .. ' times in a row')
  else
    j.ls = j.ls + 1
    again(j)
  end
end

local function told(j)
  local was = j.s
  lost(j)
  if was == 'running' or was == 'uploading' then found[#found + 1] = { 'lost', ticket(j), j.s } end
end

-- later says when to look again: at doubling age.
local function later(j)
  local wait = number(call('HGET', j.key, 'k') or LOOK) * 2
  if wait > LOOK_MAX then wait = LOOK_MAX end
  call('HSET', j.key, 'k', wait)
  return t + wait
end

-- expire: the retention is over. While others use the job's files it is
-- postponed, at first a little, at most by USED_MAX. A callback that is still
-- to be delivered holds the record back, for a while.
local function expire(j)
  if call('EXISTS', users(j)) == 1 then
    call('ZADD', j.base .. 'due', text[t + math.min(math.max(overdue(j, t), USED_MIN), USED_MAX)], j.id)
    tell('used', j)
    return
  end
  if j.cb and call('ZSCORE', j.base .. 'callbacks', j.id) and
      t < number(call('HGET', j.key, 'fi')) + j.rt + CALLBACK_HOLD then
    call('ZADD', j.base .. 'due', text[t + PUSH], j.id)
    return
  end
  remove(j)
  tell('gone', j)
end

-- due: it is time to look at a job.
local function due(j)
  if TERMINAL[j.s] then
    expire(j)
  elseif j.x and j.x <= t and not j.st and may(j.s, 'expired') then
    local was = j.s
    finish(j, t, 'expired')
    if was == 'uploading' then tell('gone', j) end
  elseif j.s == 'scheduled' or j.s == 'retrying' then
    local run_at = number(call('HGET', j.key, 'at') or 0)
    if run_at > t then
      look_at(j, run_at)
    else
      enqueue(j, t)
      tell(j.ls >= SUSPECT and 'head' or 'tail', j) -- a suspect has waited for its turn already
    end
  elseif j.s == 'queued' then
    look_some_time(j, later(j))
    tell('look', j)
  elseif j.s == 'uploading' and call('HEXISTS', j.key, 'ux') == 1 then
    local over, again = number(call('HGET', j.key, 'ux')), later(j)
    look_at(j, over > t and over < again and over or again)
    tell('upload', j)
  else -- running, uploading: a lease must be there, or nobody would ever notice its end
    call('ZADD', j.base .. 'leases', 'NX', t + lease_ms, j.id)
    look_at(j, t + LOOK_MAX)
  end
end

-- guard runs f on a job of an index; a damaged record leaves the indexes.
local function guard(base, set, id, f)
  local ok, err = pcall(function()
    local j = load(base .. 'j:' .. id)
    if j then f(j) else
      call('ZREM', base .. set, id)
      call('ZREM', base .. 'ids', id)
    end
  end)
  if ok then return end
  if cause(err) == 'future' then
    call('ZADD', base .. set, t + PUSH, id)
    return
  end
  index() -- what was gathered before it was found out
  for _, name in ipairs({ 'due', 'leases', 'ids', 'callbacks' }) do call('ZREM', base .. name, id) end
  call('ZADD', base .. 'quarantine', t, id)
  found[#found + 1] = { 'bad', { id, 0, '', '' } }
end

local function take(base, set, f)
  local ids = call('ZRANGEBYSCORE', base .. set, '0', t, 'LIMIT', 0, limit)
  if #ids == limit then more = 1 end
  for _, id in ipairs(ids) do guard(base, set, id, f) end
  index()
end

-- look takes some of the looks that stand aside: the oldest, and where more are
-- due the newest too, or a long queue would hide what is lost in a short one.
local function look(base)
  local before = text[t - ASIDE]
  local ids = call('ZRANGEBYSCORE', base .. 'due', '-inf', before, 'LIMIT', 0, looks)
  for _, id in ipairs(ids) do guard(base, 'due', id, due) end
  index()
  if #ids < looks then return end
  for _, id in ipairs(call('ZREVRANGEBYSCORE', base .. 'due', before, '-inf', 'LIMIT', 0, looks)) do
    guard(base, 'due', id, due)
  end
  index()
end

-- rearm gives leases back the time that stood still since the last sweep, in
-- which nobody could renew, and no more: a lease that got its full time again
-- would never end where Redis stalls now and then. The first part of a gap
-- (PACE) doesn't stand still, so that leases end even if every gap is long. Where
-- TIME went back there is nothing to give. It counts no loss.
local function rearm(base, gap)
  local still = gap > PACE and gap - PACE or 0
  local all = call('ZRANGE', base .. 'leases', 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    local id, was = all[i], tonumber(all[i + 1])
    local ok, j = pcall(load, base .. 'j:' .. id)
    local most = t + ((ok and j and j.cr and cap_ms < lease_ms) and cap_ms or lease_ms)
    local ends = math.min(was + still, most)
    if ends ~= was then call('ZADD', base .. 'leases', text[ends], id) end
  end
end

-- walk goes over an index, a part a sweep, from when its cursor was set until it has seen all.
local function walk(base, set, cursor_key, f)
  local cursor = call('GET', cursor_key)
  if not cursor then return end
  local page = call('ZSCAN', base .. set, cursor, 'COUNT', limit)
  for i = 1, #page[2], 2 do f(page[2][i], tonumber(page[2][i + 1])) end
  index()
  if page[1] == '0' then call('DEL', cursor_key) else call('SET', cursor_key, page[1]) end
end

-- rewind: TIME went back, so the looks and the callbacks lie too far ahead.
local function rewind(base)
  walk(base, 'due', base .. 'rewind', function(id, score)
    local again = look_at
    if score < 0 then score, again = score + ASIDE, look_some_time end
    local spread = (tonumber(string.sub(id, -3), 16) or 0) * 2
    if score > t + LOOK + spread then
      guard(base, 'due', id, function(j)
        if not TERMINAL[j.s] and j.s ~= 'scheduled' and j.s ~= 'retrying' then again(j, t + LOOK + spread) end
      end)
    end
  end)
  walk(base, 'callbacks', base .. 'rewind:callbacks', function(id, score)
    if score <= t then return end
    -- It waits for its pause or its claim at most; one that was never claimed for nothing.
    local ok, wait = pcall(call, 'HGET', base .. 'w:' .. id, 'd')
    local most = t + (ok and tonumber(wait or 0) or 0)
    if score > most then call('ZADD', base .. 'callbacks', text[most], id) end
  end)
end

for _, key in ipairs(KEYS) do
  local base = string.sub(key, 1, -6)
  local last = tonumber(call('GET', key) or nil)
  local gap = last and t - last or STALL + lease_ms
  if gap < 0 or gap >= min_gap then
    call('SET', key, t)
    if gap < 0 or gap > STALL then rearm(base, gap) end
    if gap < 0 then call('MSET', base .. 'rewind', '0', base .. 'rewind:callbacks', '0') end
    rewind(base)
    take(base, 'leases', told)
    take(base, 'due', due)
    if looks > 0 then look(base) end
  end
end
publish()
return { more, found }
