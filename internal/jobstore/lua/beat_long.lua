-- beat_long: a process says that a run or an upload lives, and how far it is. A cancel
-- has capped the lease; no renewal lengthens it.
return each(3, function(said, lease_ms, progress)
  local id, fence = sub(said, 1, 16), sub(said, 17)
  local j = load(id)
  if not j or j.f ~= fence or j.f == '' then return { 'lost' } end
  if not j.cr and number(lease_ms) > 0 then
    if j.s == 'uploading' and rare(j, 'ux') then
      set_rare(j, 'ux', int(t + lease_ms))
      set_rare(j, 'k', '')
      look_at(j, t + @LOOK@)
    else
      lease(j, t + lease_ms)
    end
  end
  if progress ~= '' then
    todo(2, 'SET', P .. 'g:' .. id, progress)
    j.g = true
    move(j, j.s)
  end
  return { j.cr and 'cancel' or 'ok' }
end)
