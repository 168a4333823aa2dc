#!lua flags=allow-oom
-- register: records that the workers of a process are alive, for a while.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] ms that each is kept  [3] ms that the index has them, 0: the index is left as it is
-- ARGV[4] channel to publish on or '', then for each worker two: worker_id  its registration as JSON
-- Returns 1
-- The channel is the one on which a process checks that messages arrive: one command does both for an idle worker. The index has a worker for
-- longer than it is kept, so that most calls need not write it: some services charge for each command of a script.
-- Atomic because a worker that is not in the index would not be found. Runs where Redis is full: operators look at workers then.
--- @include "start"
local index_ttl = tonumber(ARGV[3])
for i = 5, #ARGV, 2 do
  call('SET', Q .. 'worker:' .. ARGV[i], digits[now] .. ' ' .. ARGV[i + 1], 'PX', ARGV[2])
  if index_ttl > 0 then call('ZADD', Q .. 'workers', digits[now + index_ttl], ARGV[i]) end
end
if index_ttl > 0 then
  -- Workers that died without an unregister.
  call('ZREMRANGEBYSCORE', Q .. 'workers', '-inf', digits[now])
  call('PEXPIRE', Q .. 'workers', ARGV[3])
end
if ARGV[4] ~= '' then call('PUBLISH', ARGV[4], '') end
return 1
