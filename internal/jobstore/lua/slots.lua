-- The words of limits on how many of a kind may run at once, and how often they may start. A job keeps in x: lm, the classes
-- that it belongs to, each a limit's name, a colon and a hash of what the limit tells apart; and lp, the class in whose line
-- its ticket stands, if it does. Key limits has of each limit how many may hold a slot, and whether they do so to their 'end'
-- or for a 'run'. The set slots:<class> has who holds one: a job that has its ticket among the pending ones, or runs, or waits
-- in the line of its next class. All other queued jobs of the class stand in the list line:<class>, oldest last; classes are
-- all of which there is one of the two.
--
-- A rate is a limit of its own, by the name with ':r' behind; limits has µs that a start makes up for, '/', burst. Its slots
-- are tokens: there are as many as starts would be allowed now (gcra.lua, rate:<class>), a job has one from when its ticket
-- goes to the pending ones until it starts, and the start is what counts. So workers that were away for an hour don't find
-- an hour's tickets. later has the classes in whose line somebody waits for time to pass, by when.
--
-- A slot is taken when a ticket goes to the pending ones, not when a worker pops it: workers take as ever, and a
-- line of a million costs them nothing. What is done here happens when records are written already, one after
-- another, so that two jobs of a call don't take the same slot.
local HOLDS = { queued = true, running = true }

local function timed(class) return string.find(class, ':r:', 1, true) end

-- paid keeps by when all starts of a class are made up for.
local function paid(class, at)
  call('SET', P .. 'rate:' .. class, int(at), 'PX', int(math.ceil(at / 1000) - t + 60000))
end

-- bound is how many jobs of a class may hold a slot, and whether they do so to their end; nil = the limit is gone. Of a
-- rate it tells gap and burst too, and by when all that has started is made up for, in µs.
local function bound(class)
  local said = call('HGET', P .. 'limits', match(class, '^(.*):')) or ''
  local most, keep = match(said, '^(%d+) (%a+)$')
  if most then return tonumber(most), keep == 'end' end
  local gap, burst = match(said, '^(%d+)/(%d+)$')
  if not gap then return nil end
  gap, burst = tonumber(gap), tonumber(burst)
  local was = tonumber(call('GET', P .. 'rate:' .. class) or 0) or 0
  local at, room = gcra(was, t * 1000, gap, burst)
  if at < was then paid(class, at) end
  return room, false, gap, burst, at
end

-- in_order is how a job's classes are asked: slots as its record has them, then rates, those whose tokens come seldom
-- first. So no token that comes often lies with a job that waits for one that doesn't, or for a slot.
local function in_order(lm)
  local all, rates, gaps = {}, {}, {}
  for class in string.gmatch(lm, '%S+') do
    local into = timed(class) and rates or all
    into[#into + 1] = class
  end
  if rates[2] then
    for _, class in ipairs(rates) do gaps[class] = select(3, bound(class)) or 0 end
    table.sort(rates, function(a, b) return gaps[a] > gaps[b] or gaps[a] == gaps[b] and a < b end)
  end
  for _, class in ipairs(rates) do all[#all + 1] = class end
  return all
end

-- seat gives a job slots of its classes, one after another, and returns the first that has none for it. What it has got it
-- keeps meanwhile. All jobs ask in one order, those held to the end first: so none waits for another in a circle, none is
-- passed for ever by others that need less, and in a class of the first kind all stand in the order in which they came.
-- turn is the class whose line it comes from.
local function seat(id, lm, turn)
  for _, class in ipairs(in_order(lm)) do
    local slots, most = P .. 'slots:' .. class, bound(class)
    if call('SISMEMBER', slots, id) == 0 then
      if most and (call('SCARD', slots) >= most or class ~= turn and call('EXISTS', P .. 'line:' .. class) == 1) then
        return class
      end
      call('SADD', slots, id)
      call('SADD', P .. 'classes', class)
    end
  end
end

-- to_pending gives a ticket to the workers.
local function to_pending(queue, entry, ahead)
  local Q = @QUEUE(queue)@
  count('list:' .. queue, 1)
  if call(ahead and 'RPUSH' or 'LPUSH', Q .. 'pending', entry) == 1 then @RING(queue)@ end
end

-- stand puts a ticket into a class's line, behind those that are there, or ahead.
local function stand(id, entry, class, ahead)
  call(ahead and 'RPUSH' or 'LPUSH', P .. 'line:' .. class, entry)
  call('HSET', P .. 'x:' .. id, 'lp', class)
  call('SADD', P .. 'classes', class)
end

-- expect notes when the next token comes that somebody waits for, and tells workers if it is the first of all. Where as
-- many were given as may be, the next start says when.
local function expect(class)
  if not timed(class) then return end
  local _, _, gap, burst, at = bound(class)
  local given = call('SCARD', P .. 'slots:' .. class)
  if not gap or given >= burst or call('EXISTS', P .. 'line:' .. class) == 0 then
    call('ZREM', P .. 'later', class)
    return
  end
  local due = math.max(t, math.ceil((at + (given + 1 - burst) * gap) / 1000))
  if call('ZADD', P .. 'later', 'CH', int(due), class) == 1 and call('ZRANGE', P .. 'later', 0, 0)[1] == class then
    call('PUBLISH', '@PREFIX@:ring', '@LATER@' .. int(due - t))
  end
end

-- pass has the next of a line go on, whose slot is free: to the workers, or into the line of its next class.
local function pass(entry, class)
  local id = sub(entry, 1, 16)
  local j = load(id)
  if not j or j.s ~= 'queued' or entry_of(j) ~= entry then return false end
  local full = seat(id, rare(j, 'lm') or '', class)
  if full then
    stand(id, entry, full)
    expect(full)
  else
    call('HDEL', P .. 'x:' .. id, 'lp')
    to_pending(j.head.queue, entry)
  end
  return true
end

-- pump gives the slots of a class that are free to the oldest of its line. Who had to wait for another's end comes behind
-- all that are pending: of many keys none is served again before the others. What a call can't do, the next sweep does.
local function pump(class)
  local slots, line, most = P .. 'slots:' .. class, P .. 'line:' .. class, bound(class)
  local passed, dropped = 0, 0
  while not most or call('SCARD', slots) < most do
    if passed >= @PUMP@ or dropped >= 20 * @PUMP@ then
      call('SADD', P .. 'hurry', class)
      break
    end
    local entry = call('RPOP', line)
    if not entry then break end
    local ok, went = pcall(pass, entry, class)
    if ok and went then
      passed = passed + 1
    else -- of a job that has moved on, or is gone, or can't be read: nobody knows its queue any more
      dropped = dropped + 1
      for _, queue in ipairs(queues()) do call('UNLINK', @QUEUE(queue)@ .. 't:' .. entry) end
      if not ok then call('ZADD', P .. 'when', int(t + @PUSH@), sub(entry, 1, 16)) end
    end
  end
  if call('EXISTS', slots, line) == 0 then call('SREM', P .. 'classes', class) end
  expect(class)
end

-- spoilt makes room where keys of classes are of another type. The walk gives their jobs new tickets.
local function spoilt(lm)
  for class in string.gmatch(lm, '%S+') do call('DEL', P .. 'slots:' .. class, P .. 'line:' .. class, P .. 'rate:' .. class) end
  call('HSET', P .. 'n', 'bad', '1')
  call('SET', P .. 'mend', '3')
end

-- line_up gives the ticket of a job with limits to the workers, or has it stand in a line.
line_up = function(j, lm, ahead)
  local entry = entry_of(j)
  call('HSET', @QUEUE(j.head.queue)@ .. 't:' .. entry, 'msg', '@MSG@' .. hex(j.id))
  local ok, full = pcall(seat, j.id, lm)
  if ok and full then
    stand(j.id, entry, full, ahead)
    ok = pcall(pump, full)
  else
    call('HDEL', P .. 'x:' .. j.id, 'lp')
    to_pending(j.head.queue, entry, ahead)
  end
  if not ok then spoilt(lm) end
end

-- leave gives the slots of a job back, for good or of limits that are for a run. Of one that ends in a line the ticket stays
-- there till its turn would come; its key goes.
leave = function(j, lm, over)
  local id = j.id
  local ok = pcall(function()
    if over and call('HGET', P .. 'x:' .. id, 'lp') then call('UNLINK', @QUEUE(j.head.queue)@ .. 't:' .. entry_of(j)) end
    for class in string.gmatch(lm, '%S+') do
      local _, to_end = bound(class)
      if (over or not to_end) and call('SREM', P .. 'slots:' .. class, id) == 1 then pump(class) end
    end
  end)
  if not ok then spoilt(lm) end
end

-- spend counts a start: the job's tokens are used, and the next ones come later.
spend = function(j, lm)
  local ok = pcall(function()
    for class in string.gmatch(lm, '%S+') do
      if timed(class) then
        call('SREM', P .. 'slots:' .. class, j.id)
        local _, _, gap, _, at = bound(class)
        if gap then paid(class, at + gap) end
        pump(class)
      end
    end
  end)
  if not ok then spoilt(lm) end
end

-- serve gives tokens that are due to those who wait for them, of some classes, and returns of how many.
local function serve(most)
  local due = call('ZRANGEBYSCORE', P .. 'later', '-inf', int(t), 'LIMIT', 0, most)
  for _, class in ipairs(due) do
    if not pcall(pump, class) then spoilt(class) end
  end
  return #due
end

-- put_off lets a job wait for a time. One that was queued and has not begun gives up all its slots, those to the end too.
local function put_off(j, at)
  local lm = j.s == 'queued' and j.st == 0 and rare(j, 'lm')
  schedule(j, 'scheduled', at)
  if lm then todo(5, leave, j, lm, true) end
end
