-- schedule: writes fields of a schedule. ARGV: its name with its tenant; the revision that who asks has read,
-- '' = there is none; the tick that he has read as next, '*' = any; when the next tick is due, 'inf' = never;
-- then names and values, of which an empty one takes its field away. Answers the new revision, '' = stale.
--
-- Revisions come of a counter that outlives the schedules: what a process read of one that was removed and made
-- anew is always an older one.
local name, rev, has_next, due = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = P .. 'sch:' .. name
local had = call('HMGET', key, 'rev', 'next')
if (had[1] or '') ~= rev or has_next ~= '*' and (had[2] or '') ~= has_next then return '' end
local new = string.format('%.0f', call('INCR', P .. 'revs'))
call('ZADD', P .. 'ticks', due, name) -- first: an entry without a schedule is seen, a schedule without one is not
for i = 5, #ARGV, 2 do
  if ARGV[i + 1] == '' then call('HDEL', key, ARGV[i]) else call('HSET', key, ARGV[i], ARGV[i + 1]) end
end
call('HSET', key, 'rev', new)
return new
