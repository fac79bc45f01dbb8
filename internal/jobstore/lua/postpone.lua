-- postpone: a queued job that can't run here waits, and no attempt is consumed.
return each(2, function(key, t, delivery, delay)
  local j = load(key)
  if not j then return { 'gone' } end
  if j.s ~= 'queued' or j.d ~= number(delivery) then return { 'stale' } end
  schedule(j, 'scheduled', t + delay)
  return { 'ok' }
end)
