#!lua flags=no-writes
-- read: tasks as they are now, as many of the first ones as fit.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] bytes, then task_ids
-- Returns { task or false … }, at least one where any was asked for
-- Atomic because a task and its position in the queue must be of the same moment.
--- @include "base"
local ids, found, room = { unpack(ARGV, 3) }, {}, tonumber(ARGV[2])
fetch(ids)
for i, id in ipairs(ids) do
  found[i] = task_reply(id)
  -- The last one is returned whatever it has.
  if i < #ids and found[i] then
    room = room - reply_bytes(found[i])
    if room <= 0 then break end
  end
end
return found
