#!lua flags=no-writes
-- history: what was counted, a part at a time, from now backwards.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] hours to pass over  [3] how many hours  [4] 1: the latest failures, too
-- Returns { now, { minute, counts, minute, counts … }, { minute, latest failures … } }
--- @include "start"
--- @include "history"
local first = tonumber(ARGV[2])
local function read(kind)
  local found = {}
  for back = first, first + tonumber(ARGV[3]) - 1 do
    for _, text in ipairs(call('HGETALL', hour_of(kind, now - back * HOUR))) do found[#found + 1] = text end
  end
  return found
end
return { tostring(now), read('history'), ARGV[4] == '1' and read('failed') or {} }
