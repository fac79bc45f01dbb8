-- look: what was found out about a queued job's ticket, by somebody who saw this delivery.
--   raise   the ticket is void: a new delivery
--   again   it was repaired or is suspicious: look again soon
--   active  a worker took it and the job is still queued; the second time in a row it is void
-- The answer is "dead" for a ticket that can't bring anything to a worker any more.
return each(2, function(key, t, seen, finding)
  local j = load(key)
  if not j or TERMINAL[j.s] or j.d ~= number(seen) then return { 'dead' } end
  if j.s ~= 'queued' then return { 'stale' } end
  if finding == 'active' then
    if call('HGET', key, 'ka') ~= seen then
      call('HSET', key, 'ka', seen)
    else
      finding = 'raise'
    end
  end
  call('HDEL', key, 'k')
  look_at(j, t + LOOK)
  if finding ~= 'raise' then return { 'ok' } end
  j.d = j.d + 1
  call('HSET', key, 'm', pack(j))
  return { 'raised', ticket(j) }
end)
