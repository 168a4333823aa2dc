#!lua flags=allow-oom
-- cancel: ends a task that nobody wants any more, waiting or running.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id
-- Returns { record or false, records of all that this call ended, 1 if more is to be settled }
-- Atomic because of a cancel and a completion that race, one wins for good. Runs where Redis is full: it ends work.
--- @include "base"
--- @include "index"
--- @include "queue"
--- @include "leave"
--- @include "finish"
local id = ARGV[2]
local known = read(id)
if not (known and put_cancelled(id)) then return { known, {}, 0 } end
local unsettled = settle(false)
return { read(id), others({}), unsettled and 1 or 0 }
