-- The words of unique jobs. A job keeps in x: uk: until when it is the only one of its key ('s' its start, 'e' its end, 'r' its
-- removal), what becomes of another one meanwhile ('n' it is not made, 'p' this one does its work, 'd' it is refused), the
-- key's hash (16) and, of 'p', how long its start may be put off, in ms. k:<hash> names the newest job of the key. Nothing
-- frees a key: whether that job is past it is read off its record, so no move of a job has a step more, and no
-- script that stops leaves a key behind that nobody holds.
local uniques = {} -- of this call: hash → id

-- rival is the job that has a key; nil = it is free. A job that can't be read has none: it would have it for ever.
local function rival(hash, id)
  local other = uniques[hash] or redis.pcall('GET', P .. 'k:' .. hash)
  if type(other) ~= 'string' or #other ~= 16 or other == id then return nil end
  local ok, j, theirs = pcall(function()
    local j = load(other)
    return j, j and rare(j, 'uk')
  end)
  if not ok and string.find(tostring(j), 'future', 1, true) then error('future') end
  if not ok or not theirs or sub(theirs, 3, 18) ~= hash then return nil end
  local till = sub(theirs, 1, 1)
  local past = till ~= 'r' and TERMINAL[j.s] or till == 's' and (j.st > 0 or j.s == 'running')
  return not past and j or nil
end

-- replace has a job that hasn't begun do what a new one was to do, when that was to; its own start is put off for so long at most
-- from its creation. All else stays as it was first said.
local function replace(j, said, head, payload, apart, run_at, most)
  local at = math.min(run_at == '0' and t or number(run_at), j.created + most)
  local queue, code, text = j.head.queue, sub(said, 1, 8), sub(said, 9)
  if apart ~= '' then
    todo(2, 'SET', P .. 'p:' .. j.id, apart)
  elseif j.p then
    todo(6, 'UNLINK', P .. 'p:' .. j.id)
  end
  j.payload, j.p = payload, apart ~= ''
  local known = call('HGET', P .. 'heads', code)
  if not j.inline and (known == text or not known and call('HLEN', P .. 'heads') < @MAX_HEADS@) then
    if not known then call('HSET', P .. 'heads', code, text) end
    j.code, j.head = code, head
  end
  if j.s == 'waiting' then
    j.at = at
    move(j, 'waiting')
  elseif at > t then
    put_off(j, at)
  elseif j.s == 'queued' and j.head.queue == queue then
    move(j, 'queued')
  else
    j.at = t
    enqueue(j)
  end
end

-- among tells what becomes of a new job beside the one that has its key; nil = it is made.
local function among(uk, id, said, head, payload, apart, run_at)
  local j = rival(sub(uk, 3, 18), id)
  if not j then return nil end
  local how = sub(uk, 2, 2)
  if how == 'n' then return { 'exists', j.id } end
  if how == 'p' and sub(rare(j, 'uk'), 1, 1) == 's' and j.head.kind == head.kind and j.s ~= 'uploading' then
    replace(j, said, head, payload, apart, run_at, number(sub(uk, 19)))
    return { 'exists', j.id }
  end
  return { 'duplicate', j.id }
end
