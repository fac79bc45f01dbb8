-- The words of limits on how many of a kind may run at once. A job keeps in x: lm, the classes that it belongs to, each
-- a limit's name, a colon and a hash of what the limit tells apart; and lp, the class in whose line its ticket
-- stands, if it does. Key limits has of each limit how many may hold a slot, and whether they do so to their 'end' or for a
-- 'run'. The set slots:<class> has who holds one: a job that has its ticket among the pending ones, or runs. All other
-- queued jobs of the class stand in the list line:<class>, oldest last; classes are all of which there is one of the two.
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

-- seat gives a job its slots, all of them or none, and returns the class that has none left. Its turn has come, or it
-- stands behind those that wait already.
local function seat(id, lm, turn)
  for class in string.gmatch(lm, '%S+') do
    local most = bound(class)
    if most and call('SISMEMBER', P .. 'slots:' .. class, id) == 0 and
        (call('SCARD', P .. 'slots:' .. class) >= most or not turn and call('EXISTS', P .. 'line:' .. class) == 1) then
      return class
    end
  end
  for class in string.gmatch(lm, '%S+') do
    call('SADD', P .. 'slots:' .. class, id)
    call('SADD', P .. 'classes', class)
  end
end

-- to_pending gives a ticket to the workers.
local function to_pending(queue, entry, ahead)
  local Q = @QUEUE(queue)@
  count('list:' .. queue, 1)
  if call(ahead and 'RPUSH' or 'LPUSH', Q .. 'pending', entry) == 1 then @RING(queue)@ end
end

-- pump gives the slots of a class that are free to the oldest of its line. Who had to wait for another's end comes behind
-- all that are pending: of many keys none is served again before the others.
local function pump(class)
  local slots, line, most = P .. 'slots:' .. class, P .. 'line:' .. class, bound(class)
  for _ = 1, @PUMP@ do
    local entry = (not most or call('SCARD', slots) < most) and call('RPOP', line)
    if not entry then break end
    local id = sub(entry, 1, 16)
    local ok, j = pcall(load, id)
    if ok and j and j.s == 'queued' and entry_of(j) == entry then
      local full = seat(id, rare(j, 'lm') or '', true)
      if full then
        call('RPUSH', P .. 'line:' .. full, entry)
        call('HSET', P .. 'x:' .. id, 'lp', full)
        call('SADD', P .. 'classes', full)
      else
        call('HDEL', P .. 'x:' .. id, 'lp')
        to_pending(j.head.queue, entry)
      end
    else -- of a job that has moved on, or is gone: nobody knows its queue any more
      for _, queue in ipairs({ @QUEUES@ }) do call('UNLINK', @QUEUE(queue)@ .. 't:' .. entry) end
    end
  end
  if call('EXISTS', slots, line) == 0 then call('SREM', P .. 'classes', class) end
end

-- spoilt makes room where keys of classes are of another type: their jobs go on without a limit, until slots are told anew.
local function spoilt(lm)
  for class in string.gmatch(lm, '%S+') do call('DEL', P .. 'slots:' .. class, P .. 'line:' .. class) end
  call('HSET', P .. 'n', 'bad', '1')
end

-- line_up gives the ticket of a job with limits to the workers, or has it stand in a line.
line_up = function(j, lm, ahead)
  local entry = entry_of(j)
  call('HSET', @QUEUE(j.head.queue)@ .. 't:' .. entry, 'msg', '@MSG@' .. hex(j.id))
  local ok, full = pcall(seat, j.id, lm)
  if not ok then spoilt(lm) end
  if not ok or not full then
    to_pending(j.head.queue, entry, ahead)
    return
  end
  call(ahead and 'RPUSH' or 'LPUSH', P .. 'line:' .. full, entry)
  call('HSET', P .. 'x:' .. j.id, 'lp', full)
  call('SADD', P .. 'classes', full)
  pump(full)
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
