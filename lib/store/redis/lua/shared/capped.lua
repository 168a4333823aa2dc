-- Tasks whose tenant is at its cap of running tasks wait in `capped:<tenant>`. The score has the place of the task's queue in QUEUES, times
-- MAX_TURN, and its turn.

-- Tasks that one call moves there or back: Redis serves no other client meanwhile.
local MAX_CAPPED_MOVES = RULES.MAX_CAPPED_MOVES
local readmitted = 0

local function hold_at_cap(id, tenant, queue_number, score)
  local turn = score >= 0 and score < MAX_TURN and math.floor(score) or 0
  call('ZADD', Q .. 'capped:' .. tenant, string.format('%.0f', queue_number * MAX_TURN + turn), id)
end

-- The next capped task of a tenant, as id and score. Of 21 places, 16 go to a high task, 4 to a normal and 1 to a low one, if there are such:
-- else a tenant's high tasks would starve its lower ones. In `turns:low`, '+tenant' counts the places, and '=tenant' names the lower task
-- that has got one, so that no higher task of the tenant takes it.
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

-- Removes the lower task that has got the tenant's next place from its queue, and returns its id; else nil or false.
local function pop_reserved(tenant)
  local id = call('HGET', Q .. 'turns:low', '=' .. tenant)
  if not id then return end
  flush_queues()
  call('HDEL', Q .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end

-- After a task of a tenant has stopped running: its next capped task returns to its queue, with the turn that it had there, which is due.
-- `cap`: the cap of the worker that calls; nil if no worker does; 0 for none.
local function readmit_capped(tenant, cap)
  local key = Q .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  -- If the cap was raised or lifted, there is more than one place.
  local room = cap == 0 and MAX_CAPPED_MOVES or math.max(1, (cap or 0) - counted('running', tenant))
  -- The place that was freed is given on even where this call has moved as many as it may.
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
