-- start_one: takes one job. types are those that the caller serves, with a space
-- before and behind each; '' = all. The last text of the answer is the job's
-- past: when it was created, when it was to run ('0' = at once), its progress.
-- suspects is how many young runs in a row a suspect may have lost to be started:
-- beyond that it needs more room than the caller has (suspects.go).
local function one(key, t, delivery, fence, lease_ms, suspects, types)
  local j = load(key)
  if not j then return { 'gone' } end
  local again = j.s == 'running' and j.f == fence
  if not again then
    if j.s ~= 'queued' or j.d ~= number(delivery) then return { 'stale' } end
    if j.x and not j.st and j.x <= t then
      finish(j, t, 'expired')
      return { 'stale' }
    end
    if types ~= '' and not string.find(types, ' ' .. j.t .. ' ', 1, true) then return { 'unserved', j.t } end
    if j.ls >= SUSPECT and j.ls > number(suspects) then return { 'suspect', j.t } end
    j.f, j.st = fence, text[t]
    move(j, 'running') -- its next look finds it running and goes far ahead
  end
  if not j.cr then gather(added, j.base .. 'leases', text[t + lease_ms], j.id) end
  local spec, created, run_at = unpack(call('HMGET', key, 'p', 'c', 'at'))
  return { 'ok', j.h, j.packed or pack(j), spec or call('GET', j.base .. 'p:' .. j.id) or '',
    (created or '0') .. ' ' .. (run_at or '0') .. ' ' .. (call('GET', j.base .. 'g:' .. j.id) or '') }
end
