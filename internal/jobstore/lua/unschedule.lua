-- unschedule: removes a schedule. Its jobs stay. ARGV: its name with its tenant; '1' = only what a script that
-- stopped has left of one that isn't there. Answers 1, 0 = there was none, or there is one.
local name = ARGV[1]
if ARGV[2] == '1' and call('EXISTS', P .. 'sch:' .. name) == 1 then return 0 end
local there = call('DEL', P .. 'sch:' .. name)
call('DEL', P .. 'runs:' .. name)
call('ZREM', P .. 'ticks', name)
return there
