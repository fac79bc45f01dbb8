-- cancel: stops jobs (stop.lua).
-- by is who asked, '' = nobody says; letters are those of the states in which it may be, '' = any. Of
-- an operation that asks once more, for it can't know how far it came, the job counts as canceled.
return each(6, function(id, cap, by, letters, tenant, owner)
  local j = load(id)
  if not j or hidden(j, tenant, owner) then return { 'gone' } end
  if by ~= '' and j.sy and (j.cr or j.s == 'canceled') then
    local last = call('LINDEX', P .. 's:' .. id, -1)
    if last and sub(last, -#by - 1) == ' ' .. by then return { 'ok' } end
  end
  if TERMINAL[j.s] then return { 'ended' } end
  if letters ~= '' and not string.find(letters, LETTERS[j.s], 1, true) then return { 'moved' } end
  stop(j, cap, by)
  return { 'ok' }
end)
