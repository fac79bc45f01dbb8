-- beat: the short way of runs that nobody has canceled. Three texts a job: id and fence;
-- lease, '0' = not renewed; progress, '' = no news. Answers 1 a job, 0 for one of which
-- nothing was written: it goes the long way.
local out, keys, m = {}, {}, 0
local base = P .. 'j:'
for i = 1, #ARGV, 3 do
  m = m + 1
  keys[m] = base .. sub(ARGV[i], 1, 16)
end
local records = call('MGET', unpack(keys))
local seen, leases, sets, events, n, e = {}, {}, {}, {}, 0, 0
for k = 1, m do
  local from, core = 3 * k - 2, records[k]
  out[k] = 0
  if core and sub(core, 1, 2) == '@VERSION@@running@' and sub(core, 36, 47) == sub(ARGV[from], 17) and not seen[keys[k]] then
    local first, id, lease, progress = byte(core, 19), sub(ARGV[from], 1, 16), ARGV[from + 1], ARGV[from + 2]
    if first % 2 == 1 and first % 32 < 16 then
      seen[keys[k]] = true
      out[k] = 1
      if lease ~= '0' then
        leases[#leases + 1] = string.format('%.0f', t + lease)
        leases[#leases + 1] = id
      end
      if progress ~= '' then
        local rev, third = raise(sub(core, 11, 14)), byte(core, 21)
        n = n + 1
        if third % 8 < 4 then third = third + 4 end
        sets[4 * n - 3], sets[4 * n - 2] = P .. 'g:' .. id, progress
        sets[4 * n - 1], sets[4 * n] = keys[k], sub(core, 1, 10) .. rev .. sub(core, 15, 20) .. char(third) .. sub(core, 22)
        events[n] = id .. rev .. '@running@'
      end
    end
  end
end
if leases[1] then call('ZADD', P .. 'lease', unpack(leases)) end
if n > 0 then
  call('MSET', unpack(sets))
  call('PUBLISH', '@PREFIX@:events', table.concat(events))
end
return out
