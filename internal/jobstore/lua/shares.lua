-- shares: what a partition knows of batches; with seal '1' no more jobs may come there, with 'over' it is dropped.
return each(2, function(id, how)
  local has = there(id)
  if how == '1' and has then todo(2, 'HSET', share_of(id), 'sealed', '1') end
  if how == 'over' then drop_share(id) end
  local n, s, f, c, x, sealed, bad = share(id)
  return { int(n), int(s), int(f), int(c), int(x), (sealed or how == '1' and has) and 1 or 0, bad }
end)
