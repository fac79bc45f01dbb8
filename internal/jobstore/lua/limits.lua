-- limits: says how many jobs of each limit may run at once (slots.lua). ARGV: the revision of the table that is said, then
-- a name and what is said of it, and so on. Who says it has just read the table: the last word counts.
call('DEL', P .. 'limits')
call('HSET', P .. 'limits', 'rev', ARGV[1])
for i = 2, #ARGV, 2 do call('HSET', P .. 'limits', ARGV[i], ARGV[i + 1]) end
return 1
