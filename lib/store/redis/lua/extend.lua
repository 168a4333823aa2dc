#!lua flags=allow-oom
-- extend: prolongs all the leases that a worker holds.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] lease (ms), then for each: task_id  lease; last: what the time should be or ''
-- Returns { { 'ok' | 'cancelled' | 'stale' … }, now }
-- Runs where Redis is full: a lease that can't be prolonged is a chart paid for twice.
--- @include "base"
--- @include "clock"
local answers = {}
for i = 3, #ARGV - 1, 2 do
  local t = call('HMGET', record(ARGV[i]), 'lease', 'status')
  local answer = 'stale'
  if t[1] == ARGV[i + 1] and t[2] == 'PROCESSING' then
    call('ZADD', P .. 'processing', now + ARGV[2], ARGV[i])
    answer = 'ok'
  elseif t[1] == ARGV[i + 1] and t[2] == 'CANCELLED' then
    answer = 'cancelled'
  end
  answers[#answers + 1] = answer
end
return { answers, tostring(now) }
