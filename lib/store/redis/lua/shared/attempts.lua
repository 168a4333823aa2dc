-- Starts attempts of waiting tasks. `claim` as in claim-tasks.lua.

-- { the last worker that was lost with a task, how many were lost in a row, 1 if the attempt must run alone in its worker }, or nil. A task
-- that ends its workers' processes must not take other attempts with it again and again. One loss is mostly the machine's: a task is
-- suspected after two, or before its last attempt.
local function lost_workers(task, attempt)
  local extras = task.state.extras
  local losses = extras and extras.losses
  if losses then return { extras.lost_worker or '', losses, (losses > 1 or attempt >= task.terms.max) and 1 or 0 } end
end

-- Whether the request of a task is there, and the request if it has a key of its own.
local function read_request(task)
  if not task.has_request_key then return is_request(task.record, task.request_start), nil end
  local request = call('GET', request_key(task.id))
  return is_request(request, 1), request or nil
end

-- A claimed task, with the checkpoints of earlier attempts and the workers that were lost with it; and how many bytes it has.
local function claimed_task(task, lost, request)
  local bytes = #task.record + #(request or '')
  if task.state.lease == 1 then return { task, false, false, request }, bytes end
  local checkpoints = call('HGETALL', Q .. 'checkpoints:' .. task.id)
  for _, text in ipairs(checkpoints) do bytes = bytes + #text end
  return { task, checkpoints, lost or false, request }, bytes
end

-- `step`: 'started', or 'queued' if the worker must hold the attempt back until its other attempts have ended.
local function start_attempt(task, step)
  local state = task.state
  if state.lease == 0 and task.terms.queue_timeout then call('ZREM', Q .. 'deadlines', task.id) end
  count('waiting', task.terms.tenant, -1)
  count('running', task.terms.tenant, 1)
  lease_changes[task.id] = now + claim.lease_duration
  state.status, state.step, state.step_at, state.started = 'PROCESSING', step, now, state.started or now
  state.attempt, state.lease = state.attempt + 1, state.lease + 1
  state.worker, state.claim_id, state.settled_by, state.trace = claim.worker, claim.id, '', step .. ',' .. digits[now] .. ',0'
  announce(task)
end

-- Cancels a popped task that was superseded, after it and its share were put back: as if it had never been popped.
local function cancel_if_superseded(task, queue_number, score)
  if not is_superseded(task.id, task.terms) then return false end
  local name = QUEUES[queue_number]
  flush_queues()
  call('ZADD', queue(name), string.format('%.17g', score), task.id)
  if STRIDE[name] then set_share(name, share(name) - STRIDE[name]) end
  return cancel_task(task.id)
end

-- Running tasks of a tenant. If there are fewer leases than that, the count is damaged, and is counted anew: it would hold the tenant up.
local function count_running(tenant, cap)
  local known = counted('running', tenant)
  if known < cap or stored_counts.running[tenant] == 0 then return known end
  local all = call('ZCARD', Q .. 'processing')
  if stored_counts.running[tenant] > all then
    local ids, number = call('ZRANGE', Q .. 'processing', 0, MAX_ARGUMENTS - 1), 0
    fetch(ids)
    for _, id in ipairs(ids) do
      local task = find(id)
      if task and task.terms.tenant == tenant then number = number + 1 end
    end
    stored_counts.running[tenant] = number
    call('HSET', Q .. 'running', tenant, digits[number])
  end
  return counted('running', tenant)
end

-- The task that starts in place of a popped one: the lower task of its tenant that the place is reserved for (capped.lua), else the popped one.
local function task_for_place(task, queue_number, score, has_deferred)
  -- A task that has run before goes first in any case.
  local id = claim.max_running > 0 and queue_number > 1 and pop_reserved(task.terms.tenant)
  local reserved = id and find(id)
  if not reserved or reserved.state.status ~= 'PENDING' then return task end
  if has_deferred and is_superseded(id, reserved.terms) and cancel_task(id) then return task end
  hold_at_cap(task.id, task.terms.tenant, queue_number, score)
  return reserved
end
