-- raise is the next revision of one, both as they are stored; a full one stays full.
local raised = {}
local function raise(rev)
  local next = raised[rev]
  if next then return next end
  local a, b, c, d = byte(rev, 1, 4)
  local v = ((a * 256 + b) * 256 + c) * 256 + d + 1
  if v > 4294967295 then v = 4294967295 end
  next = char((v - v % 16777216) / 16777216, (v - v % 65536) / 65536 % 256, (v - v % 256) / 256 % 256, v % 256)
  raised[rev] = next
  return next
end
