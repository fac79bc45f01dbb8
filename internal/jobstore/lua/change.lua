-- change: a job that waits is to wait otherwise; of one that has ended only the retention can be another. Texts a job:
-- id; was, what tells its head now; said, number, family and text of the head that it is to have, '' = as it is; what of
-- that is another, '' = nothing; run at, '' = as it is, '0' = at once; expires at, likewise, '0' = never; labels, '=' and
-- their text, '' = as they are; the revisions that it may have, each with spaces around, '' = any; by; letters, tenant
-- and owner as cancel has them. What is so already is no change: a repeat finds nothing to do.
local function rehead(j, said)
  if j.inline then j.fixed = sub(j.fixed, 1, -#j.inline - 10) end
  local code, known = sub(said, 1, 8), call('HGET', P .. 'heads', sub(said, 1, 8))
  local family = j.head.family
  j.inline, j.code, j.head = false, code, read_head(sub(said, 17))
  j.head.family = family
  if known == sub(said, 9) then return end
  if known or call('HLEN', P .. 'heads') >= @MAX_HEADS@ then
    j.inline, j.code = sub(said, 17), '\0\0\0\0\0\0\0\0'
    j.fixed = j.fixed .. family .. char(#said - 16) .. sub(said, 17)
  else
    call('HSET', P .. 'heads', code, sub(said, 9)) -- at once: what is made of its text is right without a job too
  end
end

-- steer lets a queued job wait for a time, or in another queue. One that stands in the line of a limit keeps its place
-- there: its ticket goes to its queue when its turn comes. Of any other the old ticket is void from now on.
local function steer(j, queue, at)
  local limits = rare(j, 'lm')
  if at and at > 0 then
    put_off(j, at)
  elseif queue == j.head.queue then
    look_at(j, j.ls >= @SUSPECT@ and t + @LOOK@ or nil) -- a suspect may have no ticket while a worker decides
    move(j, 'queued')
  elseif limits and rare(j, 'lp') then
    local entry, kept = entry_of(j), @QUEUE(j.head.queue)@
    todo(5, 'HSET', kept .. 't:' .. entry, 'msg', '@MSG@' .. hex(j.id))
    todo(6, 'UNLINK', @QUEUE(queue)@ .. 't:' .. entry)
    look_at(j)
    move(j, 'queued')
  else
    enqueue(j)
  end
end

-- apply makes a job's changes; at and x are other than they were, or nil.
local function apply(j, said, what, at, x)
  local queue = j.head.queue
  if what ~= '' then rehead(j, said) end
  if x then j.x = x > 0 and x or nil end
  if TERMINAL[j.s] then
    local ret = retention(j)
    end_at(j.id, math.max(t, (j.fi or 0) + ret), ret < 600000 and 1000 or 60000)
    move(j, j.s)
  elseif j.s == 'queued' then
    steer(j, queue, at)
  elseif j.s == 'scheduled' or j.s == 'retrying' then
    if at == 0 then
      j.at = t -- its age in the queue counts from here
      enqueue(j)
    else
      schedule(j, j.s, at or j.at or t)
    end
  else
    if at then j.at = at > 0 and at or nil end
    if j.s == 'waiting' then
      wait(j)
    else
      if x then look_at(j, rare(j, 'ux') and t + @LOOK@ or nil) end
      move(j, j.s)
    end
  end
end

-- another is the time that a job is to have, nil where it has it already. One that runs has begun: at once is no change.
local function another(j, run_at)
  if run_at == '' then return nil end
  local at = number(run_at)
  if at > t then return (j.at ~= at or j.s == 'queued') and at or nil end
  if j.s == 'queued' or j.s == 'running' then return nil end
  return (j.at or j.s == 'scheduled' or TERMINAL[j.s]) and 0 or nil
end

return each(12, function(id, was, said, what, run_at, expires, labels, revs, by, letters, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) then return { 'gone' } end
  if j.sy and sub(by, 1, 3) == 'op:' then -- an operation asks once more, for it can't know how far it came
    local last = call('LINDEX', P .. 's:' .. id, -1)
    if last and sub(last, -#by - 1) == ' ' .. by then return { 'ok' } end
  end
  if what ~= '' and was ~= (j.inline or j.code) then return { 'again' } end
  local at, x, lb = another(j, run_at), nil, nil
  if expires ~= '' and number(expires) ~= (j.x or 0) then x = number(expires) end
  if labels ~= '' and sub(labels, 2) ~= (rare(j, 'lb') or '') then lb = sub(labels, 2) end
  if what == '' and not at and not x and not lb then return { 'ok' } end
  if letters ~= '' and not string.find(letters, letter_of(j), 1, true) then return { 'moved' } end
  if is_batch(j) and (what ~= '' or at or x) then return { 'fixed' } end
  if TERMINAL[j.s] and (at or x or lb or not match(what, '^retention=%d+$')) then return { 'ended' } end
  if j.s == 'running' or x and j.st > 0 then return { 'started' } end
  if revs ~= '' and not string.find(revs, ' ' .. int(r4(j.rev, 1)) .. ' ', 1, true) then return { 'other' } end
  local told = { what ~= '' and what or nil }
  if at then told[#told + 1] = 'run_at=' .. int(at) end
  if x then told[#told + 1] = 'expires_at=' .. int(x) end
  if lb then
    told[#told + 1] = 'labels'
    set_rare(j, 'lb', lb)
  end
  story(j, 'changed', table.concat(told, ',') .. ' ' .. by)
  apply(j, said, what, at, x)
  return { 'ok' }
end)
