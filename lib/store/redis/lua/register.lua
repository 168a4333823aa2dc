#!lua flags=allow-oom
-- register: says that workers of a process are there, for a while.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] ms that they are kept  [3] ms that the index has them, 0: it is left as it is
-- ARGV[4] channel to publish on or '', then for each worker two: worker_id  what it says of itself as JSON
-- Returns 1
-- The channel is that on which a process finds out whether messages arrive, so that an idle worker sends one command for both. The index has
-- a worker for longer than it is kept, so that most calls need not write it: some services have a price for each command in a script.
-- Atomic because an entry that is not in the index would not be found. Runs where Redis is full: an operator looks then.
--- @include "start"
local indexed = tonumber(ARGV[3])
for i = 5, #ARGV, 2 do
  call('SET', Q .. 'worker:' .. ARGV[i], digits[now] .. ' ' .. ARGV[i + 1], 'PX', ARGV[2])
  if indexed > 0 then call('ZADD', Q .. 'workers', digits[now + indexed], ARGV[i]) end
end
if indexed > 0 then
  -- Those that have died without a word.
  call('ZREMRANGEBYSCORE', Q .. 'workers', '-inf', digits[now])
  call('PEXPIRE', Q .. 'workers', ARGV[3])
end
if ARGV[4] ~= '' then call('PUBLISH', ARGV[4], '') end
return 1
