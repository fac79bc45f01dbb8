package redisdb

// GCRA is Lua that a script begins with which bounds how often something may happen (the generic cell rate
// algorithm). What is kept of it is one time, by when all that has happened is made up for, each a gap
// later. All times are µs. It returns that time as it counts now, and how many more may happen. Where it is
// less than what is kept it is to be kept: else it goes on with the clock, and nothing may ever happen.
const GCRA = `local function gcra(at, now, gap, burst)
  at = math.max(at, now)
  if at > now + burst * gap then at = now + burst * gap end -- the limit was changed, or TIME went back
  return at, math.floor((now + burst * gap - at) / gap)
end
`
