-- tick: the one job of a tick of a schedule, and the schedule's step to the next; or a job by hand.
-- Texts of each: the schedule's name with its tenant; the revision and the tick that who asks has read;
-- the tick that is decided, '' = by hand; the one that follows, '' = none; when that is due; how many
-- before it are missed; overlap; cap of a canceled run's lease; why no job is made: missed, refused, '' = one is;
-- who asks; then those of create (make.lua).
--
-- Whoever read an older revision, or the same tick as somebody who was here before, is stale. What is written of the
-- schedule comes last: where the script stops before, the tick is decided again, and finds its job by the id.
local RUNS = 10

local function key_of(name) return P .. 'sch:' .. name end

-- add counts in a field of the schedule.
local function add(key, field, by)
  if by > 0 then todo(6, 'HINCRBY', key, field, int(by)) end
end

-- ran notes a job of a schedule: it is the last one, and one of the newest.
local function ran(name, key, tick, id)
  local line = tick .. ' ' .. dashed(id)
  todo(6, 'HSET', key, 'lj', id)
  todo(6, 'LPUSH', P .. 'runs:' .. name, line)
  todo(6, 'LTRIM', P .. 'runs:' .. name, 0, RUNS - 1)
end

-- open_job is the last job of a schedule, if it hasn't ended. One that can't be read is none.
local function open_job(id)
  if not id or #id ~= 16 then return nil end
  local ok, j = pcall(load, id)
  return ok and j and not TERMINAL[j.s] and j or nil
end

-- repeated tells that a job by hand is there already, by its idempotency key.
local function repeated(tick, _, hash) return tick == '' and hash ~= '' and call('EXISTS', P .. 'i:' .. hash) == 1 end

return each(32, function(name, rev, now_next, tick, following, due, missed, overlap, cap, why, by, ...)
  local key = key_of(name)
  local has_rev, has_next, last_job, paused = unpack(call('HMGET', key, 'rev', 'next', 'lj', 'paused'))
  if not has_rev then return { 'gone' } end
  if has_rev ~= rev then return { 'stale' } end
  if tick ~= '' and (has_next ~= now_next or paused) then return { 'stale' } end
  local before = why == '' and overlap ~= 'allow' and not repeated(tick, ...) and open_job(last_job)
  local reply = { 'skipped' }
  if before and overlap == 'skip' then
    if tick == '' then return { 'open', before.id } end
    add(key, 'overlapped', 1)
  elseif why == '' then
    if before then stop(before, tonumber(cap), by) end
    extra = { sn = sub(name, (string.find(name, '/', 1, true)) + 1), sk = tick }
    reply = create(...)
    extra = nil
    local id = reply[1] == 'created' and (...) or reply[1] == 'exists' and reply[2]
    if reply[1] == 'exists' and tick == '' then
      return reply
    elseif id then
      ran(name, key, tick == '' and int(t) or tick, id)
      if reply[1] == 'created' then add(key, tick == '' and 'byhand' or 'made', 1) end
      todo(6, 'HDEL', key, 'err', 'erat')
    elseif tick ~= '' then
      add(key, 'refused', 1)
    end
  elseif why == 'refused' then
    add(key, 'refused', 1)
  end
  if tick == '' then return reply end
  add(key, 'missed', tonumber(missed))
  if why == '' or why == 'refused' then todo(6, 'HSET', key, 'last', tick) end
  todo(6, 'HSET', key, 'next', following)
  todo(6, 'ZADD', P .. 'ticks', due, name)
  return reply
end)
