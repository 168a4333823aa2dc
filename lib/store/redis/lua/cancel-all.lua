#!lua flags=allow-oom
-- cancel-all: cancels several tasks at once. The caller splits a large batch.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME), then task_ids
-- Returns { all that this call ended }: none if it is repeated
-- Atomic because a task that needs another of them must be cancelled too, not fail because of it. Runs where Redis is full: it ends work.
--- @include "lifecycle"
local ids = { unpack(ARGV, 2) }
fetch(ids)
for _, id in ipairs(ids) do cancel_task(id) end
run_deferred(false)
commit()
return ended_besides({})
