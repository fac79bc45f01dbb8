-- postpone: a queued job that can't run here waits, and no attempt is consumed.
return each(3, function(id, delivery, delay)
  local j = load(id)
  if not j then return { 'gone' } end
  if j.s ~= 'queued' or j.d ~= number(delivery) then return { 'stale' } end
  story(j, 'postponed', '')
  schedule(j, 'scheduled', t + delay)
  return { 'ok' }
end)
