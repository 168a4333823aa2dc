#!lua flags=allow-oom
-- cancel: ends a task that nobody wants any more, waiting or running.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id
-- Returns { 'gone' } or { 'ok' | 'finished', record }
-- Atomic because of a cancel and a completion that race, one wins for good. Runs where Redis is full: it ends work.
--- @include "base"
--- @include "index"
--- @include "queue"
--- @include "finish"
local id = ARGV[2]
local known = read(id)
if not known then return { 'gone' } end
local t = call('HMGET', record(id), 'status', 'tenant')
if t[1] == 'PENDING' then
  unqueue(id, t[2])
elseif t[1] == 'PROCESSING' then
  close_lease(id, t[2], 'cancel')
  call('PUBLISH', P .. 'cancelled', id)
else
  return { t[1] == 'CANCELLED' and 'ok' or 'finished', known }
end
finish(id, 'CANCELLED', {})
return { 'ok', read(id), 1 }
