-- finish_long: the run that holds the fence has ended, one way or another. A cancel that
-- came before it wins.
-- ran_by notes which version of a deployed function ran.
local function ran_by(j, ran)
  if ran == '' then return end
  local from = function_at(j)
  local behind = from
  if has(j.f2, @F_F@) then behind = from + 4 else j.f2 = j.f2 + @F_F@ end
  j.fixed = sub(j.fixed, 1, from - 1) .. ran .. sub(j.fixed, behind)
end

return each(9, function(said, usage, progress, result, outcome, delay, code, message, ran)
  local id, fence = sub(said, 1, 16), sub(said, 17)
  local j = load(id)
  if not j then return { 'gone' } end
  if j.lf == fence then return { 'ok', j.s, ticket(j), 0 } end
  if j.f ~= fence or j.f == '' then return { 'lost' } end
  if j.s == 'uploading' and outcome ~= 'canceled' then outcome = 'failed' end
  if progress ~= '' then
    todo(2, 'SET', P .. 'g:' .. id, progress)
    j.g = true
  end
  if j.cr then outcome = 'canceled' end

  j.lf = fence
  ran_by(j, ran)
  if outcome == 'release' then
    delay = number(delay)
    if is_claimed(fence) and delay == 0 then -- who can do nothing with a job doesn't get it again and again at once
      local row = number(rare(j, 'rl') or 0) + 1
      set_rare(j, 'rl', int(row))
      if row > 2 then delay = math.min(1000 * 2 ^ math.min(row - 3, 6), 60000) end
    end
    if delay > 0 then
      schedule(j, 'scheduled', t + delay)
    else
      enqueue(j, true)
    end
  elseif outcome == 'retry' and j.a + 1 < j.head.attempts then
    retry(j, code, message, number(delay), usage)
  elseif outcome == 'succeeded' then
    if result ~= '' then
      if #result > 256 then
        todo(2, 'SET', P .. 'r:' .. id, result)
        j.k = '\255\255'
      else
        j.k = w2(#result) .. result
      end
    end
    finish(j, 'succeeded', nil, usage)
  elseif outcome == 'canceled' then
    finish(j, 'canceled', nil, usage)
  elseif j.s == 'running' then
    given_up(j, code, message, usage)
  else
    remember(j, code, message)
    if j.p then -- its files go with the record
      todo(6, 'UNLINK', P .. 'p:' .. id)
      j.p = false
    end
    finish(j, 'failed', code, usage)
  end
  return { 'ok', j.s, ticket(j), j.owes and 1 or 0 }
end)
