#!lua flags=no-writes
-- read: tasks as they are now.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME), then task_ids
-- Returns { record or false … }
-- Atomic because a task's record and its step details must be of the same version.
--- @include "base"
local records = {}
for i = 2, #ARGV do records[#records + 1] = read(ARGV[i]) end
return records
