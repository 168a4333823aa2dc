#!lua flags=no-writes
-- history: what was counted, some hours at a time, from now backwards.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] hours to skip  [3] how many hours  [4] 1: also the latest failures
-- Returns { now, { minute, counts, minute, counts … }, { minute, latest failures … } }
-- Atomic because counts and failures must be of the same moment.
--- @include "start"
--- @include "history"
local first = tonumber(ARGV[2])
local function read(kind)
  local found = {}
  for back = first, first + tonumber(ARGV[3]) - 1 do
    for _, text in ipairs(call('HGETALL', hour_key(kind, now - back * HOUR))) do found[#found + 1] = text end
  end
  return found
end
return { tostring(now), read('history'), ARGV[4] == '1' and read('failed') or {} }
