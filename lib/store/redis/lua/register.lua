#!lua flags=allow-oom
-- register: says that workers of a process are there, for a while.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] ms that they are kept  [3] channel that hears of it or '', then for each worker two: worker_id  what it says of itself as JSON
-- Returns 1
-- The channel is that on which a process finds out whether messages arrive, so that an idle worker sends one command for both.
-- Atomic because an entry that is not in the index would not be found. Runs where Redis is full: an operator looks then.
--- @include "start"
local keep = tonumber(ARGV[2])
for i = 4, #ARGV, 2 do
  call('SET', Q .. 'worker:' .. ARGV[i], digits[now] .. ' ' .. ARGV[i + 1], 'PX', digits[keep])
  call('ZADD', Q .. 'workers', digits[now + keep], ARGV[i])
end
-- Those that have died without a word.
call('ZREMRANGEBYSCORE', Q .. 'workers', '-inf', digits[now])
call('PEXPIRE', Q .. 'workers', digits[keep])
if ARGV[3] ~= '' then call('PUBLISH', ARGV[3], '') end
return 1
