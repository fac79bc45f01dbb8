-- read: all of a record, in one moment. It does without the shared words, which
-- cost more than the reading: record.go judges what was found.
local replies = {}
for i, key in ipairs(KEYS) do
  local base, id, damaged = string.sub(key, 1, -39), string.sub(key, -36), false
  local function read(...)
    local found = redis.pcall(...)
    if type(found) == 'table' and found.err then damaged = true end
    return found or ''
  end
  local fields = read('HGETALL', key)
  if damaged or fields[1] then
    local reply = { 'ok', fields, read('GET', base .. 'r:' .. id), read('GET', base .. 'g:' .. id),
      read('LRANGE', base .. 'e:' .. id, 0, -1) }
    if ARGV[i] == '1' then reply[6] = read('GET', base .. 'p:' .. id) end
    replies[i] = damaged and { 'damaged' } or reply
  else
    replies[i] = { 'gone' }
  end
end
return replies
