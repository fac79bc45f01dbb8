-- What the start of records needs of the queue (internal/rdb: dequeueCmd);
-- parked.lua stands before it.
local held, dropped = {}, {}

local function read_name(name)
  local a, b, c, d, e, delivery = match(name, '^(%x%x%x%x%x%x%x%x)(%x%x%x%x)(%x%x%x%x)(%x%x%x%x)(%x%x%x%x%x%x%x%x%x%x%x%x)%.(%d+)$')
  if not a then return nil end
  return a .. '-' .. b .. '-' .. c .. '-' .. d .. '-' .. e, delivery
end

-- take pops up to n tickets. One call is about one queue, which ARGV names.
local keys, queue_name = about(ARGV[1])
local function take(n, types, turn) return pick(keys, n, types, turn) end

-- hold lists a ticket as active.
local function hold(name)
  call('HSET', keys .. 't:' .. name, 'state', 'active')
  held[#held + 1] = name
end

-- drop throws a ticket away that brings nothing any more.
local function drop(name) dropped[#dropped + 1] = keys .. 't:' .. name end

local function leave(name, kind) park(keys, name, kind) end

local function settle()
  if held[1] then call('LPUSH', keys .. 'active', unpack(held)) end
  if dropped[1] then call('DEL', unpack(dropped)) end
  settle_parked(keys, queue_name, CHANNEL)
end
