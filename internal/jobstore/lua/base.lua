-- What every script begins with, and no more: the short ways are small, since a call
-- makes each local and closure anew. Names between at signs are put in by layout.go, which owns
-- offsets, letters, flags and the moves that there are.
local call, sub, byte, char = redis.call, string.sub, string.byte, string.char
local P = KEYS[1]
local function now() @NOW@ end
local t = now()
local function w6(v)
  local lo = v % 4294967296
  local hi = (v - lo) / 4294967296
  return char((hi - hi % 256) / 256, hi % 256, (lo - lo % 16777216) / 16777216, (lo - lo % 65536) / 65536 % 256,
    (lo - lo % 256) / 256 % 256, lo % 256)
end
-- count adds to a counter. One that is none begins anew and is marked: doctor --fix counts.
local function count(field, by)
  local reply = redis.pcall('HINCRBY', P .. 'n', field, by)
  if type(reply) ~= 'table' then return end
  if call('TYPE', P .. 'n').ok ~= 'hash' then call('DEL', P .. 'n') end
  call('HSET', P .. 'n', field, '0', 'bad', '1')
end
