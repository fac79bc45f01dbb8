-- vouch compares what is kept beside the blobs with what Redis has, and raises the mark. KEYS: P:meta.
-- ARGV: epoch and mark that are kept ('' and 0 = none), ms between two marks, ms between two keepings.
-- Answers { word, epoch, mark that may be kept, loss, whether the caller is to keep it }; the word is
-- 'whole', 'lost', or 'empty' where nobody has opened the installation anew yet.
local call, M = redis.call, KEYS[1]
local kept, known = ARGV[1], tonumber(ARGV[2])
local epoch, mark, marked, last, loss, accepted, resumed =
  unpack(call('HMGET', M, 'epoch', 'mark', 'marked', 'kept', 'reset', 'accepted', 'resumed'))
if not epoch then return { 'empty', '', 0, '', 0 } end
local clock = call('TIME')
local t = clock[1] * 1000 + math.floor(clock[2] / 1000)
mark, marked, last, accepted = tonumber(mark) or 0, tonumber(marked), tonumber(last), accepted or ''
resumed = tonumber(resumed)
if not loss and kept ~= '' then
  local from
  if kept ~= epoch then
    if not string.find(' ' .. accepted .. ' ', ' ' .. kept .. ' ', 1, true) then from = 0 end
  elseif mark < known then
    from = math.min(marked or 0, t)
  end
  if from then
    loss = string.format('%d-%d', from, t)
    call('HSET', M, 'reset', loss, 'lost', kept)
  end
end
-- While a loss is open no mark rises and nothing is kept: what is kept is its only evidence, and if the
-- right data come back they still fit.
if loss then return { 'lost', epoch, 0, loss, 0 } end
-- The clock may have been set back: then the distance counts, whichever way.
local every = tonumber(ARGV[3])
local function long_ago(at, times) return not at or math.abs(t - at) >= times * every end
if marked and long_ago(marked, 2) and long_ago(resumed, 2) then
  -- Nobody has looked for a while, or these data are older. Callers don't know equally much: each gets its
  -- turn before the mark rises for one that has nothing against it.
  call('HSET', M, 'resumed', t)
elseif long_ago(marked, 1) and (not marked or not long_ago(marked, 2) or long_ago(resumed, 1)) then
  mark = mark + 1
  call('HSET', M, 'mark', mark, 'marked', t)
end
local keep = 0
if kept ~= epoch or not last or math.abs(t - last) >= tonumber(ARGV[4]) then
  keep = 1
  call('HSET', M, 'kept', t)
end
return { 'whole', epoch, mark - 1, '', keep }
