#!lua flags=allow-oom
-- cancel: ends a task that nobody wants any more, waiting or running.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id
-- Returns { 'gone' } or { 'ok' | 'finished', record, records of all that this call ended }
-- Atomic because of a cancel and a completion that race, one wins for good. Runs where Redis is full: it ends work.
--- @include "base"
--- @include "index"
--- @include "queue"
--- @include "leave"
--- @include "finish"
local id = ARGV[2]
local known = read(id)
if not known then return { 'gone' } end
if cancel(id) then return { 'ok', read(id), others({}) } end
return { call('HGET', record(id), 'status') == 'CANCELLED' and 'ok' or 'finished', known }
