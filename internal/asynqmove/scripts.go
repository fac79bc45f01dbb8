package asynqmove

import "github.com/redis/go-redis/v9"

// The scripts run in asynq's Redis, which may be an older one than ours must be: they have no header. KEYS[1]
// is the list "asynq:{q}:longshore", and all that a script touches lies in its slot.

const words = `
local call, P = redis.call, string.sub(KEYS[1], 1, -10)
local function key(id) return P .. 't:' .. id end
local function now()
  local t = call('TIME')
  return string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
end
`

// takeScript takes tasks out of a list or a set of asynq's. ARGV: who takes, the source, then id and drawn
// job id of each. Answers for each ” if it is not there any more, or { message, job id, time }.
var takeScript = redis.NewScript(words + `
local by, source, t, out = ARGV[1], ARGV[2], now(), {}
for i = 3, #ARGV, 2 do
  local id, from, had = ARGV[i], source, nil
  if source == 'pending' or source == 'foreign' then
    had = call('LREM', P .. source, -1, id)
  else
    from = source .. ' ' .. (call('ZSCORE', P .. source, id) or '')
    had = call('ZREM', P .. source, id)
  end
  if had == 1 and call('HEXISTS', key(id), 'msg') == 1 then
    call('LPUSH', KEYS[1], id)
    call('HSETNX', key(id), 'longshore_id', ARGV[i + 1])
    call('HMSET', key(id), 'longshore_at', t, 'longshore_from', from, 'longshore_by', by)
    local said = call('HMGET', key(id), 'msg', 'longshore_id')
    out[#out + 1] = { said[1], said[2], t }
  else
    out[#out + 1] = ''
  end
end
return out`)

// adoptScript reads a page of the list, the oldest first, and makes its tasks those of who asks. ARGV: who
// asks, how many stand behind the page, its size, and how long ago (ms) a task must have been taken. Answers
// TIME, how many the page had, and { id, message or ”, job id or ”, when it was taken, source } of each that
// is old enough.
var adoptScript = redis.NewScript(words + `
local behind, size, age = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local t, page, out = now(), call('LRANGE', KEYS[1], -behind - size, -behind - 1), {}
for i = #page, 1, -1 do
  local said = call('HMGET', key(page[i]), 'msg', 'longshore_id', 'longshore_at', 'longshore_from')
  if not said[3] or t - said[3] >= age then
    if said[2] then call('HSET', key(page[i]), 'longshore_by', ARGV[1]) end
    out[#out + 1] = { page[i], said[1] or '', said[2] or '', said[3] or '0', said[4] or '' }
  end
end
return { t, #page, out }`)

// dropScript forgets tasks that are jobs now, and a unique lock that is still the task's. ARGV: id and job
// id of each. A repeat finds nothing: under the same id there may be another task by then.
var dropScript = redis.NewScript(words + `
local n = 0
for i = 1, #ARGV, 2 do
  local id = ARGV[i]
  if call('HGET', key(id), 'longshore_id') == ARGV[i + 1] and call('LREM', KEYS[1], -1, id) > 0 then
    local lock = call('HGET', key(id), 'unique_key')
    if lock and string.sub(lock, 1, #P) == P and redis.pcall('GET', lock) == id then call('DEL', lock) end
    call('DEL', key(id))
    n = n + 1
  end
end
return n`)

// backScript gives tasks back that no job was made of, where they came from, the pending ones as the next.
// ARGV: who took them, then ids. One that somebody else has taken over meanwhile, who may have made its job,
// stays.
var backScript = redis.NewScript(words + `
local n = 0
for i = 2, #ARGV do
  local id = ARGV[i]
  if call('HGET', key(id), 'longshore_by') == ARGV[1] and call('LREM', KEYS[1], -1, id) > 0 then
    local source, score = string.match(call('HGET', key(id), 'longshore_from'), '^(%a+) ?(.*)$')
    if score ~= '' then call('ZADD', P .. source, score, id) else call('RPUSH', P .. source, id) end
    call('HDEL', key(id), 'longshore_id', 'longshore_at', 'longshore_from', 'longshore_by')
    n = n + 1
  end
end
return n`)
