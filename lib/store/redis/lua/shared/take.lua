--- @include "note"
-- Collects what has expired, then hands out up to `wanted` tasks, each with a lease of its own.
-- Of what is due, so much at once: Redis serves nobody else meanwhile.
local MAX_DUE = RULES.MAX_DUE
-- ms until a worker goes on with what earlier calls have left. Their caller does so at once: this is for one that has died.
local DEFERRED_DELAY_MS = RULES.DEFERRED_DUE_MS
local collected = 0
local function due_in(key, time)
  local ids = call('ZRANGEBYSCORE', Q .. key, '-inf', time, 'LIMIT', 0, MAX_DUE - collected)
  collected = collected + #ids
  fetch(ids)
  return ids
end

-- The last of the workers that were lost with a task, how many in a row, and 1 if the attempt must have its worker for itself: what ends
-- its process must not take others along for ever. One loss is mostly the machine's: only after two, or before the last attempt, is the
-- task suspected. Nil where none was lost.
local function lost_workers(task, attempt)
  local extras = task.state.extras
  local times = extras and extras.losses
  if times then return { extras.lost_worker or '', times, (times > 1 or attempt >= task.terms.max) and 1 or 0 } end
end

-- Whether a worker still held the attempt back when its lease expired: it waited until the others of the worker had ended.
local function was_held_back(state) return string.find(state.trace, '^queued,%d+,%d+$') end

-- A task that has a lease, or waits for another attempt, and whose state says that it never ran: its state was lost.
local function has_lost_state(task)
  local state = task.state
  return state.status == 'LOST' or (state.status == 'PENDING' and state.lease == 0 and not is_placed(task))
end

local expired = {}
local function expire_leases(cap, deferred)
  for _, id in ipairs(due_in('processing', expired_by)) do
    local task = find(id)
    if task and has_lost_state(task) then
      fail_lost(task)
    elseif not task or task.state.status ~= 'PROCESSING' then
      -- A Redis that evicts has lost it, or this call has ended its lease.
      lease_changes[id] = false
    elseif deferred and is_superseded(id, task.terms) then
      cancel_task(id)
    elseif was_held_back(task.state) then
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
  for _, id in ipairs(is_any_timed() and due_in('deadlines', expired_by) or {}) do
    call('ZREM', Q .. 'deadlines', id)
    local task = find(id)
    if task and deferred and is_superseded(id, task.terms) then
      cancel_task(id)
    elseif task and task.state.status == 'PENDING' and task.terms.queue_timeout then
      remove_waiting(task)
      extras_of(task.state).code = 'CHARTS_ERR_QUEUE_TIMEOUT'
      finish(task, 'FAILED')
    end
  end
end

local function promote_delayed()
  for _, id in ipairs(is_any_timed() and due_in('delayed', now) or {}) do
    call('ZREM', Q .. 'delayed', id)
    local task = find(id)
    if not task then
      count_scheduled(nil, -1)
    elseif task.state.step == 'scheduled' and task.terms.run_at and task.terms.run_at > now then
      add_timed('delayed', digits[task.terms.run_at], id)
    elseif task.state.step ~= 'scheduled' and has_lost_state(task) then
      fail_lost(task)
    elseif task.state.status ~= 'PENDING' or queue_of(id) then
      count_scheduled(nil, -1)
    elseif task.state.step == 'scheduled' then
      count_scheduled(task.terms.tenant, -1)
      task.state.step, task.state.at = 'queued', now
      enqueue_task(id, task.terms)
      announce(task)
    else
      count_scheduled(nil, -1)
      add_to_queue('again', id, digits[now])
    end
  end
end

-- ms after which a worker looks again at the latest.
local MAX_WAIT_MS = 86400000

local function next_due(deferred)
  local due = deferred and DEFERRED_DELAY_MS or -1
  for _, key in ipairs(is_any_timed() and { 'processing', 'delayed', 'deadlines' } or { 'processing' }) do
    local head = tonumber(call('ZRANGE', Q .. key, 0, 0, 'WITHSCORES')[2])
    local left = head and math.min(math.max(0, head - (key == 'delayed' and now or expired_by)), MAX_WAIT_MS)
    if left and (due < 0 or left < due) then due = left end
  end
  return due
end

-- Whether its request is there, and the request if it is apart.
local function request_of(task)
  if not task.apart then return is_request(task.record, task.request), nil end
  local request = call('GET', request_key(task.id))
  return is_request(request, 1), request or nil
end

-- What its earlier attempts have reached comes with a task, and whether they lost their workers; a first one has none. Returns its bytes, too.
local function to_claimed(task, lost, request)
  local bytes = #task.record + #(request or '')
  if task.state.lease == 1 then return { task, false, false, request }, bytes end
  local steps = call('HGETALL', Q .. 'checkpoints:' .. task.id)
  for _, text in ipairs(steps) do bytes = bytes + #text end
  return { task, steps, lost or false, request }, bytes
end

-- `step`: 'started', or 'queued' where the worker must wait for others of its own to end.
local function start_attempt(task, worker, claim, lease_duration, step)
  local state = task.state
  if state.lease == 0 and task.terms.queue_timeout then call('ZREM', Q .. 'deadlines', task.id) end
  count('waiting', task.terms.tenant, -1)
  count('running', task.terms.tenant, 1)
  lease_changes[task.id] = now + lease_duration
  state.status, state.step, state.at, state.started = 'PROCESSING', step, now, state.started or now
  state.attempt, state.lease = state.attempt + 1, state.lease + 1
  state.worker, state.claim, state.settled_by, state.trace = worker, claim, '', step .. ',' .. digits[now] .. ',0'
  announce(task)
end

-- One that was replaced is not started but ended: as if it had never been popped.
local function cancel_if_superseded(task, at, score)
  if not is_superseded(task.id, task.terms) then return false end
  local name = QUEUES[at]
  flush_queues()
  call('ZADD', queue(name), string.format('%.17g', score), task.id)
  if STRIDE[name] then set_share(name, share(name) - STRIDE[name]) end
  return cancel_task(task.id)
end

-- What this worker claimed last, whether the queue is paused, and whether earlier calls have left something to settle.
local function notes_for(worker) return call('MGET', note_of(worker), Q .. 'paused', Q .. 'unsettled') end

local function to_claimed_reply(claimed)
  local replies = {}
  for i, one in ipairs(claimed) do
    local task, steps, lost, request = unpack(one)
    replies[i] = (steps or lost or request) and { task.record, task.text, steps, lost, request } or { task.record, task.text }
  end
  return replies
end

-- Ends the call: writes what it has changed, and returns { claimed, what ended meanwhile but for `own`, ms until something is due or -1, now,
-- 1 if more is to be settled, { task_id, attempt, worker } of leases that expired }.
local function finish_call(claimed, own, deferred, lost)
  commit()
  return { to_claimed_reply(claimed), ended_besides(own), next_due(deferred), tostring(now), deferred and 1 or 0, lost }
end

-- How many of a tenant's tasks run. No more than all that do: a count that was scrambled must not hold the tenant up.
local function count_running(tenant, cap)
  local known = counted('running', tenant)
  if known < cap or stored.running[tenant] == 0 then return known end
  local all = call('ZCARD', Q .. 'processing')
  if stored.running[tenant] > all then
    local ids, number = call('ZRANGE', Q .. 'processing', 0, MAX_FETCHED - 1), 0
    fetch(ids)
    for _, id in ipairs(ids) do
      local task = find(id)
      if task and task.terms.tenant == tenant then number = number + 1 end
    end
    stored.running[tenant] = number
    call('HSET', Q .. 'running', tenant, digits[number])
  end
  return counted('running', tenant)
end

-- `beside`: attempts that go on in the worker meanwhile.
local function claim_tasks(own, worker, claim, wanted, lease_duration, running_per_tenant, beside, notes)
  local claimed = {}
  -- The reply to this very claim may have been lost: the same tasks again, not more of them, and the same ends.
  local before, paused, deferred = unpack(notes)
  if before and string.sub(before, 1, #claim + 1) == claim .. ' ' then
    local again, gone, lost = string.match(string.sub(before, #claim + 2), '([^;]*);([^;]*);?(.*)')
    if not again then again, gone, lost = '', '', '' end
    for id in string.gmatch(again, '%S+') do
      local task = find(id)
      if task and task.state.status == 'PROCESSING' and task.state.claim == claim then
        local has_request, request = request_of(task)
        if has_request then claimed[#claimed + 1] = to_claimed(task, lost_workers(task, task.state.attempt), request) else fail_lost(task, false) end
      end
    end
    for id in string.gmatch(gone, '%S+') do
      if not own[id] then ended[#ended + 1] = id end
    end
    return finish_call(claimed, own, run_deferred(false) or deferred, lost ~= '' and decoded(lost) or {})
  end

  expire_leases(running_per_tenant, deferred)
  promote_delayed()
  deferred = run_deferred(deferred)
  local ids, aside, bytes, left = {}, 0, 0, nil
  wanted = math.min(wanted, MAX_CLAIMED)
  local capped = running_per_tenant > 0
  while #claimed < wanted and aside < MAX_ASIDE and cascaded < 2 * MAX_CASCADE and bytes < MAX_CLAIMED_BYTES and not paused do
    local id, at, score = pop(wanted - #claimed)
    if not id then
      left = count_queues()
      if left == 0 or not mend_shares() then break end
      left, id, at, score = nil, pop(wanted - #claimed)
      if not id then break end
    end
    local task = find(id)
    local status = task and task.state.status
    if status == 'LOST' or (status == 'PENDING' and at == 1 and task.state.lease == 0) then
      fail_lost(task)
      aside = aside + 1
    elseif status ~= 'PENDING' then
      -- A Redis that evicts has lost it.
      aside = aside + 1
    elseif deferred and cancel_if_superseded(task, at, score) then
      aside = aside + 1
    elseif capped and count_running(task.terms.tenant, running_per_tenant) >= running_per_tenant then
      hold_at_cap(id, task.terms.tenant, at, score)
      aside = aside + 1
    else
      -- What has run before goes first all the same.
      local other = capped and at > 1 and reserved_task(task.terms.tenant)
      other = other and find(other)
      if other and other.state.status ~= 'PENDING' then other = nil end
      if other and not (deferred and is_superseded(other.id, other.terms) and cancel_task(other.id)) then
        hold_at_cap(id, task.terms.tenant, at, score)
        task = other
      end
      local lost = lost_workers(task, task.state.attempt + 1)
      local alone = lost and lost[3] == 1
      local has_request, request = request_of(task)
      if has_request then
        start_attempt(task, worker, claim, lease_duration, alone and beside + #claimed > 0 and 'queued' or 'started')
        local size
        claimed[#claimed + 1], size = to_claimed(task, lost, request)
        ids[#ids + 1], bytes = task.id, bytes + size
        if alone then break end
      else
        fail_lost(task, false)
        aside = aside + 1
      end
    end
  end
  if #unnotified > 0 then deferred, left = run_deferred(deferred), nil end
  if #claimed + #ended + #expired > 0 then
    local lost = #expired > 0 and cjson.encode(expired) or ''
    call('SET', note_of(worker), claim .. ' ' .. table.concat(ids, ' ') .. ';' .. table.concat(ended, ' ') .. ';' .. lost, 'PX', lease_duration)
  end
  -- A paused queue must not wake those who would find nothing.
  left = left or (paused and 0 or count_queues())
  -- More queues than shares: one of them is lost. With what runs again, a queue has none.
  if shares and left > (shares.high and 1 or 0) + (shares.normal and 1 or 0) + (shares.low and 1 or 0) then mend_shares() end
  if not paused and left > 0 then notify_workers() end
  return finish_call(claimed, own, deferred, expired)
end
