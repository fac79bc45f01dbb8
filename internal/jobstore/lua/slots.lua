-- The words of limits on how many of a kind may run at once. A job keeps in x: lm, the classes that it belongs to, each
-- a limit's name, a colon and a hash of what the limit tells apart; and lp, the class in whose line its ticket
-- stands, if it does. Key limits has of each limit how many may hold a slot, and whether they do so to their 'end' or for a
-- 'run'. The set slots:<class> has who holds one: a job that has its ticket among the pending ones, or runs, or waits in the
-- line of its next class. All other queued jobs of the class stand in the list line:<class>, oldest last; classes are all of
-- which there is one of the two.
--
-- A slot is taken when a ticket goes to the pending ones, not when a worker pops it: workers take as ever, and a
-- line of a million costs them nothing. What is done here happens when records are written already, one after
-- another, so that two jobs of a call don't take the same slot.
local HOLDS = { queued = true, running = true }

-- bound is how many jobs of a class may hold a slot, and whether they do so to their end; nil = the limit is gone.
local function bound(class)
  local most, keep = match(call('HGET', P .. 'limits', match(class, '^(.*):')) or '', '^(%d+) (%a+)$')
  return tonumber(most), keep == 'end'
end

-- seat gives a job slots of its classes, one after another, and returns the first that has none for it. What it has got it
-- keeps meanwhile. All jobs ask in one order, those held to the end first: so none waits for another in a circle, none is
-- passed for ever by others that need less, and in a class of the first kind all stand in the order in which they came.
-- turn is the class whose line it comes from.
local function seat(id, lm, turn)
  for class in string.gmatch(lm, '%S+') do
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

-- pass has the next of a line go on, whose slot is free: to the workers, or into the line of its next class.
local function pass(entry, class)
  local id = sub(entry, 1, 16)
  local j = load(id)
  if not j or j.s ~= 'queued' or entry_of(j) ~= entry then return false end
  local full = seat(id, rare(j, 'lm') or '', class)
  if full then
    stand(id, entry, full)
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
      for _, queue in ipairs({ @QUEUES@ }) do call('UNLINK', @QUEUE(queue)@ .. 't:' .. entry) end
      if not ok then call('ZADD', P .. 'when', int(t + @PUSH@), sub(entry, 1, 16)) end
    end
  end
  if call('EXISTS', slots, line) == 0 then call('SREM', P .. 'classes', class) end
end

-- spoilt makes room where keys of classes are of another type. The walk gives their jobs new tickets.
local function spoilt(lm)
  for class in string.gmatch(lm, '%S+') do call('DEL', P .. 'slots:' .. class, P .. 'line:' .. class) end
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
