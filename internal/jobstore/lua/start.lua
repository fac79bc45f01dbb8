-- start: a worker takes the job that its ticket names. The same fence again is
-- the same start and renews its lease.
local WIDTH = 5
local t = now()

local function quick(key, from)
  local h, m, p, past = begin(key, t, ARGV[from + 1], ARGV[from + 2], ARGV[from + 3], ARGV[from + 5])
  return h and { 'ok', h, m, p, past }
end
