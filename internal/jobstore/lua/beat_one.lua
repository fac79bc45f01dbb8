-- beat_one: a process says that a run or an upload lives, and how far it is.
-- A cancel has capped the lease; no renewal lengthens it.
local function one(key, t, fence, lease_ms, progress)
  local j = load(key)
  if not j or j.f ~= fence or (j.s ~= 'running' and j.s ~= 'uploading') then return { 'lost' } end
  if not j.cr and number(lease_ms) > 0 then
    if j.s == 'uploading' and call('HEXISTS', key, 'ux') == 1 then
      call('HSET', key, 'ux', t + lease_ms)
      call('HDEL', key, 'k')
      look_at(j, t + LOOK)
    else
      call('ZADD', j.base .. 'leases', t + lease_ms, j.id)
    end
  end
  if progress ~= '' then
    call('SET', j.base .. 'g:' .. j.id, progress)
    move(j, j.s)
  end
  return { j.cr and 'cancel' or 'ok' }
end
