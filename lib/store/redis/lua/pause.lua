#!lua flags=allow-oom
-- pause: stops handing out tasks, or goes on with it.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] 1: stop, 0: go on
-- Returns 1
-- Atomic because whoever waits must be woken by the call that goes on. Runs where Redis is full: an operator needs it then.
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "commit"
if ARGV[2] == '1' then
  call('SET', Q .. 'paused', now)
elseif call('DEL', Q .. 'paused') == 1 and any_queued() then
  notify_workers()
end
commit()
return 1
