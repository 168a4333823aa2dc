#!lua flags=allow-oom
-- extend: extends all leases that a worker holds.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] lease (ms), then for each: task_id  lease; last: what the time should be or ''
-- Returns { { 'ok' | 'cancelled' | 'stale' … }, now }
-- Atomic because only a current lease may be extended. Runs where Redis is full: a lease that expires meanwhile makes its chart cost twice.
--- @include "base"
--- @include "clock-set-back"
local answers, ids, scores = {}, {}, {}
for i = 3, #ARGV - 1, 2 do ids[#ids + 1] = ARGV[i] end
fetch(ids)
for i, id in ipairs(ids) do
  local task, lease = find(id), tonumber(ARGV[2 * i + 2])
  local state = task and task.state.lease == lease and task.state
  answers[i] = 'stale'
  if state and state.status == 'PROCESSING' then
    answers[i], scores[#scores + 1], scores[#scores + 2] = 'ok', now + ARGV[2], id
  elseif state and state.status == 'CANCELLED' then
    answers[i] = 'cancelled'
  end
end
if #scores > 0 then call('ZADD', Q .. 'processing', unpack(scores)) end
return { answers, tostring(now) }
