-- hand: hands jobs out to who claims them over HTTP (claims.go). ARGV: the token of the claim; which try it is; lease, and how long the
-- memo is kept (ms); how many; fences; '1' where the claim has got some elsewhere; then the lists to take from, in their order. Answers 'late' where a later try was here, else 'again'
-- with those jobs of an earlier one that still run, or 'ok' with new ones, 'more' where it has looked at enough: of each id and record,
-- payload, progress, what it is after. Behind them stands how many entries were no tickets, and were set apart, if any were.
local try, lease_ms, kept, n, fences = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6]
local memo = P .. 'hand:' .. ARGV[1]
local was, given = match(call('GET', memo) or '', '^(%d+) (.*)$')
if was and tonumber(was) > try then return { 'late' } end
local out, entries, size = { given and given ~= '' and 'again' or 'ok' }, given or '', 0

local function leave(j) lease(j, math.min(t + lease_ms, j.st + j.head.timeout)) end

-- once_more: a job that this claim has got, unless it has lost it since.
local function once_more(id, fence)
  local j = load(id)
  if not j or j.s ~= 'running' or j.f ~= fence then return end
  if not j.cr then leave(j) end
  return handed(j)
end

-- start: a job that has ended young workers comes alone, lest it takes others with it.
local alone = false
local function start(entry)
  if #entry ~= 16 and #entry ~= 18 then return end -- no ticket of ours
  local j = load(sub(entry, 1, 16))
  if not j or j.s ~= 'queued' or j.d ~= (#entry == 18 and r2(entry, 17) or 1) then return end
  if j.x and j.st == 0 and j.x <= t then
    finish(j, 'expired')
    return
  end
  alone = j.ls >= @SUSPECT@
  if alone and (size > 0 or ARGV[7] == '1') then return 'later' end
  if j.x then unlook(j) end
  j.f, j.st = sub(fences, 12 * size + 1, 12 * size + 12), t
  move(j, 'running')
  leave(j)
  return handed(j)
end

-- take goes over a list until it has enough: tickets of jobs that wait no more are void, and may be many.
local looked, apart = 0, 0
local function take(queue)
  local Q = @QUEUE(queue)@
  if call('EXISTS', Q .. 'paused') == 1 then return end
  local taken, names, i, strangers = 0, {}, 0, {}
  while size < n and not alone do
    if i == 0 then
      names = call('LRANGE', Q .. 'pending', -taken - n, -taken - 1)
      i = #names
      if i == 0 then break end
      if looked >= @HAND_MOST@ then
        out[1] = 'more'
        break
      end
      looked = looked + i
    end
    local entry = names[i]
    i = i - 1
    local ok, reply = decide(start, entry)
    if reply == 'later' then break end
    if not ok then
      put_by(sub(entry, 1, 16), reply)
      reply = nil
    end
    taken = taken + 1
    if not reply and foreign(Q, entry) then
      strangers[#strangers + 1] = entry
    else
      plan[#plan + 1] = { 5, 'UNLINK', Q .. 't:' .. entry }
    end
    if reply then
      entries = entries .. char(#entry) .. entry .. sub(fences, 12 * size + 1, 12 * size + 12)
      size = size + 1
      out[size + 1] = reply
    end
  end
  if taken == 0 then return end
  set_apart(Q, strangers)
  apart = apart + #strangers
  plan[#plan + 1] = { 1, count, 'list:' .. queue, -taken }
  plan[#plan + 1] = { 5, 'LTRIM', Q .. 'pending', 0, -taken - 1 }
end

if out[1] == 'again' then
  local i = 1
  while i <= #given do
    local ticket = byte(given, i)
    local _, reply = decide(once_more, sub(given, i + 1, i + 16), sub(given, i + ticket + 1, i + ticket + 12))
    if type(reply) == 'table' then out[#out + 1] = reply end
    i = i + ticket + 13
  end
else
  for i = 8, #ARGV do
    if size >= n or alone then break end
    take(ARGV[i])
  end
end
if try > 1 or entries ~= '' then plan[#plan + 1] = { 5, 'SET', memo, int(try) .. ' ' .. entries, 'PX', kept } end
flush()
if apart > 0 then out[#out + 1] = apart end
return out
