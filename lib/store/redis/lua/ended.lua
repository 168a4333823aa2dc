#!lua flags=no-writes
-- ended: which of the caller's tasks of a message have ended since a time, the latest first.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] message_id  [3] user_id  [4] since (ms since the epoch)  [5] most of them
-- Returns { refs, now }
-- Atomic because a task that is left out must have ended before `since` or after now.
--- @include "base"
--- @include "message-index"
--- @include "ref"
local index = P .. 'message_tasks:' .. ARGV[2] .. ':' .. ARGV[3]
local since, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
-- More than the limit, because some ids are of tasks that are no longer kept.
local PAGE, MAX_READ = 100, 2000

local ended = {}
for offset = 0, MAX_READ - PAGE, PAGE do
  local ids = call('ZREVRANGEBYSCORE', index, LAST, string.format('%.0f', math.max(1, since)), 'LIMIT', offset, PAGE)
  each_ref(ids, function(ref)
    -- If many tasks end within a millisecond, their scores are later than their ends.
    if tonumber(ref[3] or 0) >= since then ended[#ended + 1] = ref end
    return #ended == limit
  end)
  if #ids < PAGE or #ended == limit then break end
end
return { ended, tostring(now) }
