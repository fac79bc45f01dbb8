-- claim: takes what ended jobs owe, of one kind, that is due: callbacks. ARGV: the lease, how many
-- at most. A claim hides the callback for a lease: if its worker dies, another one claims
-- it then. The answers are { id, number of the claim, url, attempts before }.
local lease_ms, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local due, found = P .. 'owes:webhook', {}

local function take(id)
  local about = P .. 'w:' .. id
  local url, attempts, before = unpack(call('HMGET', about, 'u', 'a', 'b'))
  if not url or call('EXISTS', P .. 'j:' .. id) == 0 then
    call('ZREM', due, id)
    call('DEL', about)
    return
  end
  call('ZADD', due, int(t + lease_ms), id)
  call('HDEL', about, 'nx')
  call('HSET', about, 'd', int(lease_ms))
  found[#found + 1] = { id, call('HINCRBY', about, 'c', 1), url, number(attempts or 0) - number(before or 0) }
end

for _, id in ipairs(call('ZRANGEBYSCORE', due, '-inf', int(t), 'LIMIT', 0, most)) do
  local ok, err = pcall(take, id)
  if not ok then
    cause(err) -- what is not damage ends the call
    call('ZREM', due, id)
  end
end
return found
