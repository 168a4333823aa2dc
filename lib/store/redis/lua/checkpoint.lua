#!lua
-- checkpoint: stores what a step of a task returned, for later attempts.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id  [3] lease  [4] name  [5] value  [6] most bytes of the task's checkpoints, 0 = off
-- Returns 'ok' | 'stale' | 'too_large'
-- Atomic because an attempt that has lost its lease must not overwrite what its successor goes on from.
--- @include "base"
local id, name, value, max_bytes = ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])
local task, key = find(id), Q .. 'checkpoints:' .. id
if not task or task.state.lease ~= tonumber(ARGV[3]) or task.state.status ~= 'PROCESSING' then return 'stale' end
local bytes = #value
for i, text in ipairs(call('HGETALL', key)) do
  if i % 2 == 0 then bytes = bytes + #text end
end
bytes = bytes - call('HSTRLEN', key, name)
if max_bytes > 0 and bytes > max_bytes then return 'too_large' end
call('HSET', key, name, value)
return 'ok'
