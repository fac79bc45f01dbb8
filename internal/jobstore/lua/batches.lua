-- The words of batches. A batch is a job that waits until all jobs of it have ended, and never runs. Those
-- may lie in any partition: each has its own share of the batch, which the scripts that make and end jobs
-- keep. The hash b:<batch> has o, whose the batch is: its tenant, and behind a zero byte its owner's code if it has
-- one; n, how many jobs of it were made there, and s f c x, how many ended so; bad, ids of the first that didn't
-- succeed; sealed, if no more may come. The list m:<batch> has their ids, in the order in which they were made. The batch itself has in x: ba, how it stands: open, closed, canceled or expired; bc, the
-- counts as they were told last, behind their time; bi, ids as bad has them; th, the id of what comes then.
--
-- Where there is one partition, whoever ends the last job ends the batch, in the same script. Else it is looked
-- at: owes:batch has what changed, and Go adds the shares up (batches.go).
local BAD = 1600 -- bytes of ids

local function share_of(b) return P .. 'b:' .. b end

-- joined counts a job that was made in a batch.
local function joined(b, id)
  local list = P .. 'm:' .. b
  side('RPUSH', list, id)
  if call('LLEN', list) == 1 then
    local ttl = call('PTTL', share_of(b))
    if ttl > 0 then call('PEXPIRE', list, ttl) end
  end
  redis.pcall('HINCRBY', share_of(b), 'n', 1)
end

-- there tells that a partition has a share of a batch: what no batch began isn't counted, or it would stay for ever.
local function there(b)
  return redis.pcall('HEXISTS', share_of(b), 'o') == 1
end

-- no_room says why a job can't be made in a batch; nil if it can.
local function no_room(b, tenant, m)
  local said = redis.pcall('HMGET', share_of(b), 'o', 'sealed')
  local mine = not said.err and said[1] and (said[1] == tenant or said[1] == tenant .. '\0' .. (m or '') or
    not m and sub(said[1], 1, #tenant + 1) == tenant .. '\0')
  if not mine then return { 'nobatch' } end
  return said[2] and { 'sealed' } or nil
end

-- left_batch counts a job of a batch that has ended.
left_batch = function(b, letter, id)
  local key = share_of(b)
  if not there(b) then return end -- the batch is found over by its looks
  call('HINCRBY', key, letter, 1)
  if letter ~= '@succeeded@' then
    local bad = call('HGET', key, 'bad') or ''
    if #bad < BAD then call('HSET', key, 'bad', bad .. id) end
  end
  touched[b] = true
end

-- seal lets no more jobs into this partition's share.
local function seal(b)
  todo(2, function()
    if there(b) then call('HSET', share_of(b), 'sealed', '1') end
    touched[b] = true
  end)
end

-- judge ends a batch whose jobs have all ended, or tells how far they are, ten times a second at most.
local function judge(j, n, s, f, c, x, sealed, bad)
  local said = rare(j, 'bc') or ''
  local was, over = tonumber(match(said, '^(%d+)') or 0), sealed and s + f + c + x >= n
  if not over and t >= was and t - was < @BATCH_PAUSE@ then
    todo(2, 'ZADD', P .. 'owes:batch', int(was + @BATCH_PAUSE@), j.id)
    return
  end
  local counts = string.format(' %.0f %.0f %.0f %.0f %.0f', n, s, f, c, x)
  if not over and match(said, '^%d+(.*)$') == counts then return end
  set_rare(j, 'bc', int(t) .. counts)
  if bad ~= '' then set_rare(j, 'bi', bad) end
  local word = rare(j, 'ba')
  if not over then
    move(j, 'waiting')
  elseif word == 'canceled' or word == 'expired' then
    finish(j, word)
  elseif f + c + x > 0 then
    remember(j, 'jobs_failed', int(f + c + x) .. ' of ' .. int(n) .. ' jobs did not succeed')
    finish(j, 'failed', 'jobs_failed')
  else
    finish(j, 'succeeded')
  end
end

-- share is what a partition knows of a batch: total, four ends, whether it is sealed, who didn't succeed. One that is lost
-- is not sealed: nothing is known, and a look goes through the records.
local function share(b)
  local said = redis.pcall('HMGET', share_of(b), 'n', 's', 'f', 'c', 'x', 'sealed', 'bad', 'o')
  if said.err or not said[8] then return 0, 0, 0, 0, 0, false, '' end
  local n = {}
  for i = 1, 5 do n[i] = tonumber(said[i] or 0) or 0 end
  return n[1], n[2], n[3], n[4], n[5], said[6] and true or false, said[7] or ''
end

-- notice looks at a batch of which something has changed.
notice = function(b)
  if @PARTS@ > 1 then
    todo(2, 'ZADD', P .. 'owes:batch', int(t), b)
    return
  end
  local j = load(b)
  if j and j.s == 'waiting' and is_batch(j) then judge(j, share(b)) end
end

-- stop_batch ends a batch before its jobs have: no more come, those that are open are canceled, which Go does, and then
-- it is over.
local function stop_batch(j, word)
  set_rare(j, 'ba', word)
  set_rare(j, 'k', '') -- its looks begin anew
  if word == 'canceled' then j.cr = true end
  move(j, 'waiting')
  seal(j.id)
  todo(2, 'ZADD', P .. 'when', int(t), j.id) -- the next sweep tells who goes through its jobs
end

-- look_batch is the look at a batch whose time has come; how it stands is for Go, which looks through its jobs.
local function look_batch(j)
  local word = rare(j, 'ba')
  local pause = math.min(number(rare(j, 'k') or @LOOK@) * 2, @LOOK_MAX@)
  if j.x and j.x <= t and word ~= 'canceled' and word ~= 'expired' then
    stop_batch(j, 'expired')
    return 'expired', 0
  end
  set_rare(j, 'k', int(pause))
  put(j)
  local due = t + pause
  if j.x and j.x > t and j.x < due then due = j.x end
  todo(2, 'ZADD', P .. 'when', int(due), j.id)
  if word == 'closed' then seal(j.id) end
  return word, pause
end

-- drop_share forgets a partition's share. For an hour it still says that it is sealed, to who comes late.
drop_share = function(b)
  todo(6, 'UNLINK', P .. 'm:' .. b, share_of(b))
  todo(6, 'HSET', share_of(b), 'sealed', '1', 'over', '1')
  todo(6, 'PEXPIRE', share_of(b), 3600000)
  todo(6, 'ZREM', P .. 'owes:batch', b)
end

-- kept tells that a job's batch is there, for which it stays.
local function kept(j)
  if not j.b then return false end
  local said = redis.pcall('HMGET', share_of(j.b), 'o', 'over')
  return not said.err and said[1] and not said[2]
end
