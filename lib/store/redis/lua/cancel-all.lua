#!lua flags=allow-oom
-- cancel-all: ends tasks that nobody wants any more, all of them at once: of a large batch, a part.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME), then task_ids
-- Returns { all that this call ended }
-- Atomic because one that needs another of them must be cancelled too, not fail for it. Runs where Redis is full: it ends work.
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
local ids = { unpack(ARGV, 2) }
fetch(ids)
for _, id in ipairs(ids) do cancel_task(id) end
run_deferred(false)
commit()
return ended_besides({})
