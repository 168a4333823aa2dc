#!lua
-- checkpoint: remembers what a step of a task returned, for its later tries.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id  [3] lease  [4] name  [5] value  [6] most bytes of a task's checkpoints, 0 = off
-- Returns 'ok' | 'stale' | 'too_large'
-- Atomic because a try that lost its lease must not rewrite what its successor goes on from.
--- @include "base"
local id, name, value, most = ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])
local t = call('HMGET', record(id), 'lease', 'status')
if t[1] ~= ARGV[3] or t[2] ~= 'PROCESSING' then return 'stale' end
local bytes = #value
for i, text in ipairs(call('HGETALL', checkpoints(id))) do
  if i % 2 == 0 then bytes = bytes + #text end
end
bytes = bytes - call('HSTRLEN', checkpoints(id), name)
if most > 0 and bytes > most then return 'too_large' end
call('HSET', checkpoints(id), name, value)
return 'ok'
