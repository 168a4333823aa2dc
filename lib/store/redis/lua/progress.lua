#!lua
-- progress: stores and announces what running tries report.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME), then for each try: task_id  lease  progress or ''  step or ''  n  and n times: step, percent
-- Returns { 1 | 0 … }: 0 where the lease is not the current one
-- Atomic because a try that lost its lease must not overwrite what its successor reports.
--- @include "base"
local MOST_STEPS = 64
local function put(id, steps, changed)
  for name, percent in pairs(steps) do
    local old = call('HGET', details(id), name)
    if old ~= percent and (old or call('HLEN', details(id)) < MOST_STEPS) then
      call('HSET', details(id), name, percent)
      changed = true
    end
  end
  return changed
end

local answers = {}
local i = 2
while i <= #ARGV do
  local id, lease, progress, step, n = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], tonumber(ARGV[i + 4])
  local t = call('HMGET', record(id), 'lease', 'status', 'progress', 'step')
  local current = t[1] == lease and t[2] == 'PROCESSING'
  answers[#answers + 1] = current and 1 or 0
  local changed = false
  for j = i + 5, i + 4 + 2 * n, 2 do
    if current then changed = put(id, { [ARGV[j]] = ARGV[j + 1] }, changed) end
  end
  if current and progress and progress > tonumber(t[3]) then
    call('HSET', record(id), 'progress', progress)
    changed = true
  end
  if current and step ~= '' and step ~= t[4] then
    call('HSET', record(id), 'step', step)
    changed = true
  end
  if changed then announce(id) end
  i = i + 5 + 2 * n
end
return answers
