-- made: an output of a claimed run is in the blob store. ARGV: id and fence; its name; what there is to know of it, as JSON; its
-- size; how many bytes and outputs a run may have; its blob. Answers 'ok', 'lost', 'large' or 'many'. One of the same name takes the place of that before, whose blob
-- is noted, and counts beside it; all are sent ten times as often as there may be, at the most.
local id, fence, name = sub(ARGV[1], 1, 16), sub(ARGV[1], 17), ARGV[2]
local j = load(id)
if not j or j.s ~= 'running' or j.f ~= fence then return 'lost' end
local key = P .. 'o:' .. id
local old = call('HGET', key, fence .. '/' .. name)
if old == ARGV[3] then return 'ok' end -- the same call again: its blob has a name of its own
if number(call('HGET', key, fence .. 'b') or 0) + ARGV[4] > number(ARGV[5]) then return 'large' end
if not old and number(call('HGET', key, fence .. 'c') or 0) >= number(ARGV[6]) then return 'many' end
if number(call('HGET', key, fence .. 'p') or 0) >= 10 * ARGV[6] then return 'many' end
call('HINCRBY', key, fence .. 'b', ARGV[4])
call('HINCRBY', key, fence .. 'p', 1)
if not old then call('HINCRBY', key, fence .. 'c', 1) end
call('HSET', key, fence .. '/' .. name, ARGV[3], fence .. '~' .. ARGV[7], '')
call('PEXPIRE', key, int(j.st + j.head.timeout - t + @CLAIM@))
return 'ok'
