-- limits: says how many jobs of each limit may run at once (slots.lua). ARGV: the revision of the table that is said, then
-- a name and what is said of it, and so on. An older table than the one that is there changes nothing.
if tonumber(call('HGET', P .. 'limits', 'rev') or 0) > tonumber(ARGV[1]) then return 0 end
call('DEL', P .. 'limits')
call('HSET', P .. 'limits', 'rev', unpack(ARGV))
return 1
