-- counted: a batch's shares in all partitions, added up: total, ends, '1' if all are sealed, who didn't succeed.
return each(8, function(id, n, s, f, c, x, sealed, bad)
  local j = load(id)
  if not j then return { 'gone' } end
  if j.s == 'waiting' and is_batch(j) then
    judge(j, number(n), number(s), number(f), number(c), number(x), sealed == '1', bad)
  end
  return { 'ok' }
end)
