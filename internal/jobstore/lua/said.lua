-- said: lines of a claimed run's log. ARGV: id and fence; the delivery; the number of the first line, from 1; how many bytes
-- of the newest are kept; for how long (ms); lines. What was said before is not said again. Answers 1, or 0 if the run has lost its job.
local id, fence = sub(ARGV[1], 1, 16), sub(ARGV[1], 17)
local j = load(id)
if not j or j.s ~= 'running' or j.f ~= fence then return 0 end
local key, list = P .. 'o:' .. id, P .. 'l:' .. id .. ':' .. ARGV[2]
local known, from = number(call('HGET', key, fence .. 'n') or 0), number(ARGV[3])
local size = number(call('HGET', key, fence .. 's') or 0)
local first, last = math.max(known + 1, from), from + #ARGV - 6
if last < first then return 1 end
for n = first, last do
  local line = ARGV[6 + n - from]
  call('RPUSH', list, line)
  size = size + #line
end
while size > number(ARGV[4]) do
  local line = call('LPOP', list)
  if not line then break end
  size = size - #line
end
call('PEXPIRE', list, ARGV[5])
call('HSET', key, fence .. 'n', int(last), fence .. 's', int(size))
call('PEXPIRE', key, int(j.st + j.head.timeout - t + @CLAIM@))
call('PUBLISH', '@PREFIX@:logs', id)
return 1
