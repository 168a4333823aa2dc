#!lua flags=allow-oom
-- cancel: cancels a task that waits or runs.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id
-- Returns { task or false, all that this call ended, 1 if work was deferred }; a repetition ends nothing and returns the task as it is
-- Atomic because, if a cancel and a completion race, one of them wins for good. Runs where Redis is full: it ends work.
--- @include "lifecycle"
local id = ARGV[2]
if not (find_kept(id) and cancel_task(id)) then return { task_reply(id), {}, 0 } end
local has_deferred = run_deferred(false)
commit()
return { task_reply(id), ended_besides({}), has_deferred and 1 or 0 }
