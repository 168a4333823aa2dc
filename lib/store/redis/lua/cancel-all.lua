#!lua flags=allow-oom
-- cancel-all: ends tasks that nobody wants any more, all of them at once: of a large batch, a part.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME), then task_ids
-- Returns { records of all that this call ended }
-- Atomic because one that needs another of them must be cancelled too, not fail for it. Runs where Redis is full: it ends work.
--- @include "base"
--- @include "index"
--- @include "queue"
--- @include "leave"
--- @include "finish"
for i = 2, #ARGV do put_cancelled(ARGV[i]) end
settle(false)
return others({})
