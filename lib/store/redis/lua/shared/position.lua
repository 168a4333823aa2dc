--- @include "order"
-- The position of a waiting task, by the rules of pop.lua.
-- How many queues have tasks. Counted once, because positions are asked for after a call has written its queues.
local queues_in_use

-- 1 for the next task, if no other is added. Nil if the task waits outside the queues: for a time, for dependencies, or capped.
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('requeued'), id)
    return rank and rank + 1
  end
  queues_in_use = queues_in_use or call('EXISTS', queue('requeued'), queue('high'), queue('normal'), queue('low'))
  -- The common case: no other queue has tasks that could go first.
  if queues_in_use == 1 then return rank + 1 end
  local turn = (share(priority) or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('requeued')) + rank
  for _, other in ipairs(PRIORITIES) do
    local due = share(other)
    if other ~= priority and due then
      -- If both are due at once, the higher one goes first.
      local before = (turn - due) / STRIDE[other]
      before = STRIDE[other] < STRIDE[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
