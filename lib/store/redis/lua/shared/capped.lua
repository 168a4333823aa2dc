-- Tasks whose tenant is at its cap of running tasks wait in `capped:<tenant>`. The score is the number of the task's queue in QUEUES times
-- MAX_TURN, plus its turn. Tasks that have run before are capped as well; their queue has the number 1, so they return first.
-- A place is one more task that the tenant may run: each ended attempt frees one.

-- Tasks that one call moves there or back: Redis serves no other client meanwhile.
local MAX_CAPPED_MOVES = RULES.MAX_CAPPED_MOVES
local readmitted = 0

local function hold_at_cap(id, tenant, queue_number, score)
  local turn = score >= 0 and score < MAX_TURN and math.floor(score) or 0
  call('ZADD', Q .. 'capped:' .. tenant, string.format('%.0f', queue_number * MAX_TURN + turn), id)
end

-- The next capped task of a tenant, as id and score. Of 21 freed places, 16 go to the first capped task, 4 to the first normal one and 1 to
-- the first low one; if there is no such task, also to the first: else a tenant's high tasks would starve its lower ones. In `turns:low`,
-- '+tenant' counts the places, and '=tenant' names the lower task that one is reserved for, so that no higher task of the tenant gets it.
-- A place that goes to a task that has run before is not counted.
local function next_capped(key, tenant)
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not head[1] or tonumber(head[2]) < 2 * MAX_TURN then return head end
  local places = call('HINCRBY', Q .. 'turns:low', '+' .. tenant, 1) % RULES.CAPPED_CYCLE
  if places % RULES.CAPPED_NORMAL_EVERY > 0 then return head end
  local queue_number = places == 0 and 4 or 3
  local lower = call('ZRANGEBYSCORE', key, queue_number * MAX_TURN, string.format('(%.0f', (queue_number + 1) * MAX_TURN), 'WITHSCORES', 'LIMIT', 0, 1)
  if not lower[1] then return head end
  call('HSET', Q .. 'turns:low', '=' .. tenant, lower[1])
  return lower
end

-- Removes the task that the tenant's next place is reserved for from its queue, and returns its id; nil or false if there is none.
local function pop_reserved(tenant)
  local id = call('HGET', Q .. 'turns:low', '=' .. tenant)
  if not id then return end
  flush_queues()
  call('HDEL', Q .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end

-- After a task of a tenant has stopped running: its next capped task returns to its queue with the turn that it had. That turn has passed, so
-- the task is among the first there.
-- `cap`: the cap of the worker that calls; nil if no worker does; 0 for none.
local function readmit_capped(tenant, cap)
  local key = Q .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  -- If the cap was raised or lifted, there is more than one place.
  local room = cap == 0 and MAX_CAPPED_MOVES or math.max(1, (cap or 0) - counted('running', tenant))
  -- The freed place is always used, even if this call has moved as many tasks as it may.
  for _ = 1, math.max(1, math.min(room, MAX_CAPPED_MOVES - readmitted)) do
    readmitted = readmitted + 1
    local id, score = unpack(next_capped(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    local name, turn = QUEUES[math.floor(score / MAX_TURN)], score % MAX_TURN
    -- Without the name of a queue, the score is damaged: the task gets a new turn.
    local task = not name and find(id)
    if name then
      add_to_queue(name, id, digits[turn])
    elseif task and task.state.status == 'PENDING' then
      enqueue_task(id, task.terms)
    end
  end
  notify_workers()
end
