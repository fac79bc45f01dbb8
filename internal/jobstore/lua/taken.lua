-- put_by is for a job whose ticket was taken and whose record can't be read, for this reason: one of a newer version is
-- found again, by a newer process.
local function put_by(id, reason)
  if reason == 'future' then
    plan[#plan + 1] = { 2, 'ZADD', P .. 'when', int(t + @PUSH@), id }
  else
    decide(set_aside, id)
  end
end

-- handed is what who runs a job is told: id and record, payload, progress, what it is after.
local function handed(j)
  return { j.id .. (own[j.id] or read(j.id)), j.p and call('GET', P .. 'p:' .. j.id) or '', j.g and call('GET', P .. 'g:' .. j.id) or '',
    rare(j, 'af') or '' }
end
