-- What has become due: leases that have expired, queue timeouts, backoffs and `run_at`.

-- Due entries that one call handles: Redis serves no other client meanwhile.
local MAX_DUE = RULES.MAX_DUE
local collected = 0
local function collect_due(key, time)
  local ids = call('ZRANGEBYSCORE', Q .. key, '-inf', time, 'LIMIT', 0, MAX_DUE - collected)
  collected = collected + #ids
  fetch(ids)
  return ids
end

-- Whether a worker still held the attempt back when its lease expired: it waited until its other attempts had ended (claim-tasks.lua).
local function was_held_back(state) return string.find(state.trace, '^queued,%d+,%d+$') end

-- Whether a task that has a lease, or waits for another attempt, has a state that says that it never ran: its state was lost.
local function has_lost_state(task)
  local state = task.state
  return state.status == 'LOST' or (state.status == 'PENDING' and state.lease == 0 and not is_placed(task))
end

-- { task_id, attempt, worker } of the leases that this call found expired.
local expired = {}
-- `cap` as in readmit_capped.
local function expire_leases(cap, has_deferred)
  for _, id in ipairs(collect_due('processing', expired_by)) do
    local task = find(id)
    if task and has_lost_state(task) then
      fail_lost(task)
    elseif not task or task.state.status ~= 'PROCESSING' then
      -- Its record was lost, or this call has ended its lease.
      lease_changes[id] = false
    elseif has_deferred and is_superseded(id, task.terms) then
      cancel_task(id)
    elseif was_held_back(task.state) then
      -- The worker was lost with other attempts: this one costs nothing, and is not counted as a loss.
      end_lease(task, 'release', cap)
      requeue(task, 'queued', 0, 'release')
    else
      local attempt = task.state.attempt
      expired[#expired + 1] = { id, attempt, task.state.worker }
      end_lease(task, 'expire', cap)
      if attempt < task.terms.max then
        requeue(task, 'queued', 0, 'expire')
      else
        extras_of(task.state).code = 'CHARTS_ERR_WORKER_LOST'
        finish(task, 'FAILED')
      end
    end
  end
end

local function expire_queue_timeouts(has_deferred)
  for _, id in ipairs(is_any_timed() and collect_due('deadlines', expired_by) or {}) do
    call('ZREM', Q .. 'deadlines', id)
    local task = find(id)
    if task and has_deferred and is_superseded(id, task.terms) then
      cancel_task(id)
    elseif task and task.state.status == 'PENDING' and task.terms.queue_timeout then
      remove_waiting(task)
      extras_of(task.state).code = 'CHARTS_ERR_QUEUE_TIMEOUT'
      finish(task, 'FAILED')
    end
  end
end

-- Moves tasks whose `run_at` or backoff has passed into the queues.
local function queue_delayed()
  for _, id in ipairs(is_any_timed() and collect_due('delayed', now) or {}) do
    call('ZREM', Q .. 'delayed', id)
    local task = find(id)
    if not task then
      count_scheduled(nil, -1)
    elseif task.state.step == 'scheduled' and task.terms.run_at and task.terms.run_at > now then
      -- The score was damaged.
      add_timed('delayed', digits[task.terms.run_at], id)
    elseif task.state.step ~= 'scheduled' and has_lost_state(task) then
      fail_lost(task)
    elseif task.state.status ~= 'PENDING' or queue_of(id) then
      count_scheduled(nil, -1)
    elseif task.state.step == 'scheduled' then
      count_scheduled(task.terms.tenant, -1)
      task.state.step, task.state.step_at = 'queued', now
      enqueue_task(id, task.terms)
      announce(task)
    else
      count_scheduled(nil, -1)
      add_to_queue('requeued', id, digits[now])
    end
  end
end

-- ms until a worker does deferred work. The caller that left it does so at once: this is for a caller that has died.
local DEFERRED_DELAY_MS = RULES.DEFERRED_DUE_MS
-- Longest wait (ms) that is answered: a damaged score must not let a worker wait for ever.
local MAX_WAIT_MS = 86400000

-- ms until something is due, or -1.
local function next_due(has_deferred)
  local due = has_deferred and DEFERRED_DELAY_MS or -1
  for _, key in ipairs(is_any_timed() and { 'processing', 'delayed', 'deadlines' } or { 'processing' }) do
    local head = tonumber(call('ZRANGE', Q .. key, 0, 0, 'WITHSCORES')[2])
    local left = head and math.min(math.max(0, head - (key == 'delayed' and now or expired_by)), MAX_WAIT_MS)
    if left and (due < 0 or left < due) then due = left end
  end
  return due
end
