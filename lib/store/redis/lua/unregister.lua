#!lua flags=allow-oom
-- unregister: removes a worker that has stopped.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] worker_id
-- Returns 1
-- Atomic because an index entry without its worker, or the reverse, would wait for its expiry. Runs where Redis is full: it frees memory.
--- @include "start"
call('DEL', Q .. 'worker:' .. ARGV[2])
call('ZREM', Q .. 'workers', ARGV[2])
return 1
