-- finish_one: the run that holds the fence has ended, one way or another. A cancel
-- that came before it wins.
local function one(key, t, fence, outcome, delay, usage, progress, result, code, message)
  local j = load(key)
  if not j then return { 'gone' } end
  if j.lf == fence then return { 'ok', j.s, ticket(j), 0 } end
  if j.f ~= fence or (j.s ~= 'running' and j.s ~= 'uploading') then return { 'lost' } end
  if done and j.s == 'running' then done(j.q, j.id, j.d) end
  if j.s == 'uploading' and outcome ~= 'canceled' then outcome = 'failed' end
  if progress ~= '' then call('SET', j.base .. 'g:' .. j.id, progress) end
  if j.cr then outcome = 'canceled' end

  j.lf = fence
  if outcome == 'release' then
    delay = number(delay)
    if delay > 0 then
      schedule(j, 'scheduled', t + delay)
    else
      enqueue(j, t)
    end
  elseif outcome == 'retry' and j.a + 1 < j.m then
    j.a, j.ls = j.a + 1, 0
    call('HDEL', j.key, 'lo')
    remember(j, t, code, message)
    schedule(j, 'retrying', t + number(delay), 'u', usage)
  elseif outcome == 'succeeded' then
    if result ~= '' then call('SET', j.base .. 'r:' .. j.id, result) end
    finish(j, t, 'succeeded', 'u', usage)
    if not j.cb then return { 'ok' } end
  elseif outcome == 'canceled' then
    finish(j, t, 'canceled', 'u', usage)
  else
    local running = j.s == 'running'
    finish(j, t, 'failed', 'u', usage, 'ec', code)
    remember(j, t, code, message)
    if not running then call('DEL', j.base .. 'p:' .. j.id) end
  end
  return { 'ok', j.s, ticket(j), j.cb and 1 or 0 }
end
