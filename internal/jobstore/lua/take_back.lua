-- take_back: whoever asked for a claim's jobs was gone before they were told. They are queued again, unless a later
-- try of the claim was here, whose they are. Nobody was told their fences, which may come again. ARGV: the token, the try, how long the memo is kept (ms). Answers how many.
local memo = P .. 'hand:' .. ARGV[1]
local was, given = match(call('GET', memo) or '', '^(%d+) (.*)$')
if was ~= ARGV[2] then return 0 end
local i, n = 1, 0
while i <= #given do
  local size = byte(given, i)
  local id, fence = sub(given, i + 1, i + 16), sub(given, i + size + 1, i + size + 12)
  decide(function()
    local j = load(id)
    if not j or j.s ~= 'running' or j.f ~= fence then return end
    n = n + 1
    if j.cr then finish(j, 'canceled') else enqueue(j, true) end
  end)
  i = i + size + 13
end
plan[#plan + 1] = { 5, 'SET', memo, was .. ' ', 'PX', ARGV[3] }
flush()
return n
