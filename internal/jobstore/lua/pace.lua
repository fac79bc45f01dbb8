-- pace gives tokens of rates that are due to the jobs that wait for them (slots.lua), and answers in how many ms the next
-- one is due; -1 = nobody waits for one.
serve(@PACES@)
local first = call('ZRANGE', P .. 'later', 0, 0, 'WITHSCORES')
return first[2] and math.max(0, tonumber(first[2]) - t) or -1
