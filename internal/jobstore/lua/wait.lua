-- The words of jobs that wait for others, or for a yes. A job keeps in x: af, for each job that it is after,
-- an id and a letter: '-' while that one is open, then the state in which it ended, or 'g' of one that is
-- gone; ar, if it runs whatever became of them; ho, why it is held, and hr, when it was released and by whom. The zset
-- d: of a job has those that are after it and entered themselves there (enter.lua), by when.
local AFTER = 17

-- open_after tells whether one of those in af is open.
local function open_after(af)
  for i = AFTER, #(af or ''), AFTER do
    if byte(af, i) == 45 then return true end
  end
  return false
end

-- ready tells that a job waits for nothing more. One that waits and doesn't know for what is damaged: it is not let go.
local function ready(j)
  if is_batch(j) then return false end
  local af, ho = rare(j, 'af'), rare(j, 'ho')
  if j.s == 'waiting' and not af and not ho then error('damaged') end
  return not open_after(af) and (not ho or rare(j, 'hr'))
end

-- go lets a job that waited take its turn, from now on. The sweep finds it if the script stops before it does.
local function go(j)
  look_at(j, t)
  if (j.at or 0) > t then
    schedule(j, 'scheduled', j.at)
  else
    j.at = t -- its age in the queue counts from here
    enqueue(j)
  end
end

-- wait lets a job wait that can't go yet. Until it is free of other jobs it is looked at now and then: it may not be
-- entered at all of them, or one has ended unheard.
local function wait(j)
  if open_after(rare(j, 'af')) or is_batch(j) then look_at(j, t + @LOOK@) elseif j.s ~= '' or j.x then look_at(j) end
  move(j, 'waiting')
end

-- resolve notes in a job how one ended that it is after, and lets it go, or ends it, if that was all it waited for.
-- A job that can't be read is not this call's concern.
local function resolve(id, before, letter)
  local ok, j, af, whatever = pcall(function()
    local j = load(id)
    return j, j and rare(j, 'af'), j and rare(j, 'ar')
  end)
  if not ok or not j or not af or j.s ~= 'waiting' and j.s ~= 'uploading' then return end
  for i = 1, #af, AFTER do
    if sub(af, i, i + 15) == before and byte(af, i + 16) == 45 then
      af = sub(af, 1, i + 15) .. letter .. sub(af, i + AFTER)
      set_rare(j, 'af', af)
      if letter ~= '@succeeded@' and not whatever then
        if j.s == 'uploading' then bell(j) end
        finish(j, 'canceled', letter == 'g' and 'dependency_gone' or 'dependency_failed')
      elseif j.s == 'waiting' and ready(j) then
        go(j)
      else
        move(j, j.s)
      end
      return
    end
  end
end

-- here tells that a job is of this partition.
local function here(id) return @PARTS@ == 1 or P == '@PREFIX@:{' .. byte(id, 16) % 16 .. '}:' end

-- settle_after tells some of those that are after an ended job how it ended, and returns how many are left, and which of
-- these are other partitions'.
local told, most_told = 0, @TELL@ -- by this call
local function settle_after(j)
  local key = P .. 'd:' .. j.id
  local size = redis.pcall('ZCARD', key)
  if type(size) ~= 'number' or size == 0 then return 0 end
  local left, away = 0, {}
  for _, id in ipairs(call('ZRANGE', key, 0, 2 * most_told)) do
    if not here(id) then
      away[#away + 1] = id
    elseif told < most_told then
      told, left = told + 1, left - 1
      resolve(id, j.id, LETTERS[j.s])
      todo(6, 'ZREM', key, id)
    end
  end
  return size + left, away
end

-- successors is what the end of a job owes those that are after it. A chain of ends is as long as a call tells.
successors = function(j)
  local key = P .. 'd:' .. j.id
  if call('EXISTS', key) == 0 then return end
  todo(2, 'ZADD', P .. 'owes:after', int(t), j.id)
  if settle_after(j) <= 0 then todo(6, 'ZREM', P .. 'owes:after', j.id) end
end
