#!lua flags=no-writes
-- read: tasks as they are now, as many of them as fit.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] bytes, then task_ids
-- Returns { record or false … }, at least one where any was asked for
-- Atomic because a task's record and its step details must be of the same version.
--- @include "base"
--- @include "weigh"
local records, room = {}, tonumber(ARGV[2])
for i = 3, #ARGV do
  records[#records + 1] = read(ARGV[i])
  -- One task alone needs no weighing.
  if i < #ARGV and records[#records] then
    room = room - weigh(records[#records])
    if room <= 0 then break end
  end
end
return records
