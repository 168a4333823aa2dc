#!lua flags=allow-oom
-- pause: pauses the queue, or lets it go on.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] 1: pause, 0: go on
-- Returns 1
-- Atomic because the call that lets the queue go on must signal the tasks that wait. Runs where Redis is full: an operator needs it then.
--- @include "base"
--- @include "queue"
--- @include "pop"
--- @include "commit"
if ARGV[2] == '1' then
  call('SET', Q .. 'paused', now)
elseif call('DEL', Q .. 'paused') == 1 and count_queues() > 0 then
  notify_workers()
end
commit()
return 1
