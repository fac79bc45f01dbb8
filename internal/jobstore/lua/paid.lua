-- paid: what a batch's share owed was told, unless something has changed since: ARGV are the batch and when it was to be
-- looked at.
local score = call('ZSCORE', P .. 'owes:batch', ARGV[1])
if score and tonumber(score) == tonumber(ARGV[2]) then call('ZREM', P .. 'owes:batch', ARGV[1]) end
return 1
