#!lua flags=allow-oom
-- unregister: a worker is gone.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] worker_id
-- Returns 1
--- @include "start"
call('DEL', Q .. 'worker:' .. ARGV[2])
call('ZREM', Q .. 'workers', ARGV[2])
return 1
