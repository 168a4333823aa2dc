-- The index of a message and its user is a sorted set of
--   task_id: below zero while the task is unfinished, above when it has finished; the newest is outermost on either side
--   '=' .. hash: leads to the task that answers who asks for the same chart: at that task's score, FAR further out
--   '+' .. hash, beyond all others, by when it was last needed: several tasks have asked for the same, so that others may answer as well
local FAR = 2 ^ 51
-- Where the ids begin and end.
local FIRST, LAST = '(' .. digits[-FAR], '(' .. digits[FAR]
