-- attempt: one has failed, and another follows.
local function retry(j, code, message, delay, usage)
  j.a, j.ls = j.a + 1, 0
  set_rare(j, 'lo', '')
  set_rare(j, 'rl', '')
  remember(j, code, message)
  j.fi, j.ec, j.usage = 0, 0, usage
  schedule(j, 'retrying', t + delay)
end

-- given_up: it was the last one.
local function given_up(j, code, message, usage)
  if j.a < 255 then j.a = j.a + 1 end
  remember(j, code, message)
  j.a = j.a - 1
  finish(j, 'failed', code, usage)
end
