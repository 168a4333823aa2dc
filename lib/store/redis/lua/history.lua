#!lua flags=no-writes
-- history: what was counted, a part at a time.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] where to begin: so many ten minutes ago  [3] how many ten minutes  [4] 1: the latest failures, too
-- Returns { now, { field, number, field, number … } }
--- @include "start"
--- @include "history"
local from, latest, found = tonumber(ARGV[2]), ARGV[4] == '1', {}
for back = from, from + tonumber(ARGV[3]) - 1 do
  local flat = call('HGETALL', slot_of(now - back * SLOT))
  for i = 1, #flat, 2 do
    if latest or not string.find(flat[i], ':latest:', 1, true) then found[#found + 1], found[#found + 2] = flat[i], flat[i + 1] end
  end
end
return { tostring(now), found }
