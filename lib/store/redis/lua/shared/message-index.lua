-- The index of a message and its user is a sorted set. Its members:
--   task_id: score below zero while the task is unfinished, above zero once it has finished; the newest tasks are furthest from zero
--   '=' .. dedup_key: points to the task that answers a create with this dedup key; its score is that task's, FAR further from zero
--   '+' .. dedup_key: several tasks have this dedup key, so that another one may answer where the pointer is missing; its score is 2 * FAR
--     and the time at which it was last needed
local FAR = 2 ^ 51
-- The scores between which the ids of tasks are: -FAR and FAR.
local FIRST, LAST = '(-2251799813685248', '(2251799813685248'
