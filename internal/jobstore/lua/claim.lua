-- claim: takes callbacks that are due, KEYS[i] = "P:{k}:callbacks", up to a limit
-- over all shards. A claim hides the callback for a lease: if its worker dies,
-- another one claims it then. The answers are { id, number of the claim, url,
-- attempts before }.
local lease_ms, left = tonumber(ARGV[1]), tonumber(ARGV[2])
local t, found = now(), {}

local function take(base, id)
  local about = base .. 'w:' .. id
  local url, attempts = unpack(call('HMGET', about, 'u', 'a'))
  if not url or call('EXISTS', base .. 'j:' .. id) == 0 then
    call('ZREM', base .. 'callbacks', id)
    call('DEL', about)
    return
  end
  call('ZADD', base .. 'callbacks', t + lease_ms, id)
  call('HDEL', about, 'nx')
  call('HSET', about, 'd', lease_ms)
  found[#found + 1] = { id, call('HINCRBY', about, 'c', 1), url, number(attempts or 0) }
end

for _, key in ipairs(KEYS) do
  if left <= #found then break end
  local base = string.sub(key, 1, -10)
  for _, id in ipairs(call('ZRANGEBYSCORE', key, '-inf', t, 'LIMIT', 0, left - #found)) do
    local ok, err = pcall(take, base, id)
    if not ok then
      cause(err) -- what is not damage ends the call
      call('ZREM', key, id)
    end
  end
end
return found
