--- @include "expiry-clock"
-- If Redis' clock was set back, moves leases, timeouts and backoffs back by as much, so that each ends when it would have ended.

-- Entries of one sorted set that one call moves, the earliest first: Redis serves no other client meanwhile.
local MAX_SHIFTED = 1000

-- `is_shifted`: which of the ids; all of them where it is nil.
local function shift_times(key, by, is_shifted)
  local due = call('ZRANGE', Q .. key, 0, MAX_SHIFTED - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    if not is_shifted or is_shifted(due[i]) then call('ZADD', Q .. key, due[i + 1] - by, due[i]) end
  end
end

local function adjust_to_set_back_clock(by)
  -- Every process notices; the first one adjusts.
  local adjusted = tonumber(call('GET', Q .. 'set_back') or nil)
  if adjusted and math.abs(adjusted - by) <= CLOCK_TOLERANCE_MS then return end
  call('SET', Q .. 'set_back', by, 'PX', 600000)
  shift_times('processing', by)
  shift_times('deadlines', by)
  -- Only backoffs: a `run_at` was asked for as a time of day, which the new clock has.
  shift_times('delayed', by, function(id)
    local task = find(id)
    return task and task.state.step == 'retrying'
  end)
end
-- Before the rest of the script writes a time by the new clock.
if expected_now and expected_now - now > CLOCK_TOLERANCE_MS then adjust_to_set_back_clock(expected_now - now) end
