-- log: lines of a run go to where followers find them, under its fence. ARGV: id and fence, the
-- delivery, how many of the newest stay, for how long (ms), '1' if somebody follows, lines. Answers 1, or 0 if the
-- run has lost its job.
local id, fence = sub(ARGV[1], 1, 16), sub(ARGV[1], 17)
local core = call('GET', P .. 'j:' .. id)
if not core or sub(core, 1, 2) ~= '@VERSION@@running@' or sub(core, 36, 47) ~= fence then return 0 end
local list = P .. 'l:' .. id .. ':' .. ARGV[2]
call('RPUSH', list, unpack(ARGV, 6))
call('LTRIM', list, -ARGV[3], -1)
call('PEXPIRE', list, ARGV[4])
if ARGV[5] == '1' then call('PUBLISH', '@PREFIX@:logs', id) end
return 1
