-- finish: the short way of runs that succeeded, in one attempt without anything rare. Four
-- texts a job: id and fence; usage; progress, '' = as it is; result, '' = none. Answers 1 a
-- job, 0 for one of which nothing was written: it goes the long way.
local out, keys, m = {}, {}, 0
local base = P .. 'j:'
for i = 1, #ARGV, 4 do
  m = m + 1
  keys[m] = base .. sub(ARGV[i], 1, 16)
end
local records = call('MGET', unpack(keys))
local seen, heads, ends, sets, gone, events, sides, n = {}, {}, {}, {}, {}, {}, {}, 0
local stamp = w6(t)
for k = 1, m do
  local from, core, key = 4 * k - 3, records[k], keys[k]
  out[k] = 0
  if @MAY(running>succeeded)@ and core and sub(core, 1, 2) == '@VERSION@@running@' and byte(core, 19) == @F_R@ and
      byte(core, 20) % (2 * @F_B@) < @F_B@ and
      sub(core, 36, 47) == sub(ARGV[from], 17) and not seen[key] then
    local number = sub(core, 3, 10)
    local h = heads[number]
    if h == nil then
      local said = call('HGET', P .. 'heads', number)
      local queue, retention = string.match(said or '', '^(%S+) %d+ %d+ (%d+) ', 9)
      h = false
      if queue then
        local step = retention + 0 < 600000 and 1000 or 60000
        local due = t + retention + step - 1
        h = { family = sub(said, 1, 8), queue = queue, due = string.format('%.0f', (due - due % step) / 1000), n = 0 }
        ends[#ends + 1] = h
      end
      heads[number] = h
    end
    if h then
      seen[key] = true
      h.n = h.n + 1
      n = n + 1
      local id, progress, result = sub(ARGV[from], 1, 16), ARGV[from + 2], ARGV[from + 3]
      local first, third, kept, size = '\@F_RE@', sub(core, 21, 21), '', #result
      if progress ~= '' then
        sides[#sides + 1] = P .. 'g:' .. id
        sides[#sides + 1] = progress
        local b = byte(third)
        if b % 8 < 4 then third = char(b + 4) end
      end
      if size > 0 then
        first = '\@F_REK@'
        if size > 256 then
          kept = '\255\255'
          sides[#sides + 1] = P .. 'r:' .. id
          sides[#sides + 1] = result
        else
          kept = char((size - size % 256) / 256, size % 256) .. result
        end
      end
      local rev, attempts = raise(sub(core, 11, 14)), byte(core, 17)
      sets[2 * n - 1] = key
      sets[2 * n] = '@VERSION@@succeeded@' .. number .. rev .. sub(core, 15, 16) .. char(attempts < 255 and attempts + 1 or 255) ..
        sub(core, 18, 18) .. first .. sub(core, 20, 20) .. third .. sub(core, 22, 47) .. stamp .. '\0' .. ARGV[from + 1] ..
        kept .. sub(core, 48)
      h[h.n] = id
      gone[n] = id
      events[n] = id .. rev .. '@succeeded@'
      out[k] = 1
    end
  end
end
if n == 0 then return out end
for _, h in ipairs(ends) do
  if h.n > 0 then
    count(h.family .. '@running@', -h.n)
    count(h.family .. '@succeeded@', h.n)
    count('runs:' .. h.queue, -h.n)
  end
end
for _, h in ipairs(ends) do
  if h.n > 0 then
    call('ZADD', P .. 'ends', h.due, h.due)
    call('RPUSH', P .. 'end:' .. h.due, unpack(h))
  end
end
for i = 1, #sides do sets[2 * n + i] = sides[i] end
call('MSET', unpack(sets))
call('ZREM', P .. 'lease', unpack(gone))
call('PUBLISH', '@PREFIX@:events', table.concat(events))
return out
