#!lua
-- progress: stores and publishes what running attempts report.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME), then for each attempt: task_id  lease  progress or ''  step or ''  n  and n times: step, percent
-- Returns { 1 | 0 … }: 0 where the lease is not the current one
-- Atomic because an attempt that has lost its lease must not overwrite what its successor reports.
--- @include "base"
--- @include "queue"
--- @include "commit"
-- Of a task: more are ignored.
local MAX_STEPS = RULES.MAX_STEPS

-- Puts the steps in ARGV[first] to ARGV[last] into `steps`: name, percent, name, percent … in the order in which they were first reported.
-- Returns whether a step is new or has another percentage.
local function put_steps(steps, first, last)
  local moved, at = false, {}
  for i = 1, #steps, 2 do at[steps[i]] = i + 1 end
  for j = first, last, 2 do
    local name, percent = ARGV[j], tonumber(ARGV[j + 1])
    if not at[name] and #steps < 2 * MAX_STEPS then
      at[name], steps[#steps + 1], steps[#steps + 2] = #steps + 2, name, percent
      moved = true
    elseif at[name] and steps[at[name]] ~= percent then
      steps[at[name]] = percent
      moved = true
    end
  end
  return moved
end

local function report(task, progress, step, first, last)
  local state = task.state
  local reached, steps = math.max(progress or 0, state.progress), extras_of(state).steps or {}
  local moved = put_steps(steps, first, last)
  if #steps > 0 then extras_of(state).steps = steps end
  local begins = step ~= '' and step ~= state.step
  if not (moved or begins or reached > state.progress) then return end
  state.progress, state.progress_at = reached, now
  if begins then
    state.step, state.step_at, state.step_from = step, now, reached
    -- The trace has when each step began: estimates are computed from it.
    if select(2, string.gsub(state.trace, ';', '')) < MAX_STEPS - 1 then
      state.trace = state.trace .. ';' .. step .. ',' .. digits[now] .. ',' .. digits[reached]
    end
  end
  announce(task)
end

local ids, i = {}, 2
while i <= #ARGV do
  ids[#ids + 1] = ARGV[i]
  i = i + 5 + 2 * ARGV[i + 4]
end
fetch(ids)
local answers = {}
i = 2
while i <= #ARGV do
  local task, n = find(ARGV[i]), tonumber(ARGV[i + 4])
  local current = task and task.state.lease == tonumber(ARGV[i + 1]) and task.state.status == 'PROCESSING'
  if current then report(task, tonumber(ARGV[i + 2]), to_word(ARGV[i + 3]), i + 5, i + 4 + 2 * n) end
  answers[#answers + 1] = current and 1 or 0
  i = i + 5 + 2 * n
end
commit()
return answers
