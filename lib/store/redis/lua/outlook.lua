#!lua flags=no-writes
-- outlook: what estimates are made of: where running tries are, and what the latest charts took.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)
-- Returns { now, 1 if paused, since when the head of a queue waits or false, how many run, { step, at } of running ones, { trace, completed } of charts }
-- Nothing is kept for this alone: the records know when their steps began, and are forgotten with what was learnt from them.
--- @include "base"
local MOST, MOST_READ, PAGE = 100, 500, 100
local since
for _, name in ipairs(QUEUES) do
  local head = find(call('ZRANGE', queue(name), 0, 0)[1] or '')
  if head and (not since or head.state.at < since) then since = head.state.at end
end

local running, ids = {}, call('ZRANGE', Q .. 'processing', 0, MOST - 1)
fetch(ids)
for _, id in ipairs(ids) do
  local task = find(id)
  if task then running[#running + 1] = { task.state.step, digits[task.state.at] } end
end

local completed = {}
for from = 0, MOST_READ - 1, PAGE do
  ids = call('ZREVRANGE', Q .. 'finished', from, from + PAGE - 1)
  fetch(ids)
  for _, id in ipairs(ids) do
    local task = find_kept(id)
    local state = task and task.state
    if state and #completed < MOST and state.status == 'COMPLETED' then completed[#completed + 1] = { state.trace, digits[state.completed] } end
  end
  if #completed == MOST or #ids < PAGE then break end
end
return { tostring(now), call('EXISTS', Q .. 'paused'), since and tostring(since) or false, call('ZCARD', Q .. 'processing'), running, completed }
