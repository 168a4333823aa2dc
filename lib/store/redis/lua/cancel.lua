#!lua flags=allow-oom
-- cancel: ends a task that nobody wants any more, waiting or running.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id
-- Returns { record or false, records of all that this call ended }
-- Atomic because of a cancel and a completion that race, one wins for good. Runs where Redis is full: it ends work.
--- @include "base"
--- @include "index"
--- @include "queue"
--- @include "leave"
--- @include "finish"
local id = ARGV[2]
local known = read(id)
if known and cancel(id) then return { read(id), others({}) } end
return { known, {} }
