#!lua flags=no-writes
-- inspect: all that is stored of a task.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id
-- Returns { task, { earlier attempts as JSON } }, or { false }
-- Atomic because the running attempt must be in one of the two.
--- @include "base"
local found = task_reply(ARGV[2])
return { found, found and call('LRANGE', Q .. 'attempts:' .. ARGV[2], 0, -1) or nil }
