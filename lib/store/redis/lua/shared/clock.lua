--- @include "expected"
-- Of each kind so many, the next that are due: Redis serves nobody else meanwhile.
local MAX_SHIFTED = 1000

local function shift(key, by, shifts)
  local due = call('ZRANGE', Q .. key, 0, MAX_SHIFTED - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    if not shifts or shifts(due[i]) then call('ZADD', Q .. key, due[i + 1] - by, due[i]) end
  end
end

-- Redis' clock was set back: what was to end by it ends when it would have. Before this call writes a time, and by one process
-- only: all of them notice. A time that was asked for (run_at) is one of the new clock.
local function set_back(by)
  local mended = tonumber(call('GET', Q .. 'set_back') or nil)
  if mended and math.abs(mended - by) <= CLOCK_TOLERANCE_MS then return end
  call('SET', Q .. 'set_back', by, 'PX', 600000)
  shift('processing', by)
  shift('deadlines', by)
  shift('delayed', by, function(id)
    local task = find(id)
    return task and task.state.step == 'retrying'
  end)
end
if expected_now and expected_now - now > CLOCK_TOLERANCE_MS then set_back(expected_now - now) end
