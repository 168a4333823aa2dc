#!lua flags=allow-oom
-- cancel: ends a task that nobody wants any more, waiting or running.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id
-- Returns { task or false, all that this call ended, 1 if more is to be settled }
-- Atomic because of a cancel and a completion that race, one wins for good. Runs where Redis is full: it ends work.
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
local id = ARGV[2]
if not (find_kept(id) and cancel_task(id)) then return { task_reply(id), {}, 0 } end
local deferred = run_deferred(false)
commit()
return { task_reply(id), ended_besides({}), deferred and 1 or 0 }
