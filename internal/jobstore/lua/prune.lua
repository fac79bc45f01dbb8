-- prune: takes out of one index what no job stands behind any more. ARGV: its key, the letter of the state that its
-- jobs are in ('' = any), then place and id of each entry that was seen. Answers how many went.
local key, letter, gone = ARGV[1], ARGV[2], 0
for i = 3, #ARGV, 2 do
  local core = redis.pcall('GET', P .. 'j:' .. ARGV[i + 1])
  if not core or letter ~= '' and type(core) == 'string' and sub(core, 2, 2) ~= letter then
    gone = gone + (letter == '' and call('XDEL', key, ARGV[i]) or call('ZREM', key, ARGV[i + 1]))
  end
end
return gone
