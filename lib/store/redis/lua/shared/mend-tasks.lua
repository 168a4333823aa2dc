-- Checks unfinished tasks: whether each is where its state says, and only there.

-- Tasks that one call looks at: Redis serves no other client meanwhile.
local MEND_PAGE = 50
-- ms in which a worker can extend a lease whose end was lost, and the longest lease that is believed.
local GRACE_MS, MAX_LEASE_MS = 60000, 86400000
local mended = 0
local function count_mended() mended = mended + 1 end

-- Endings are deferred to the next claim, whose process logs them. `entry` as in deferred.lua.
local deferred_entries = {}
local function defer_to_claim(entry)
  if deferred_entries[entry] then return end
  deferred_entries[entry] = true
  call('RPUSH', Q .. 'unnotified', entry)
  count_mended()
end

-- The record of the task is gone: removes what is left of it. Its dependents fail.
local function remove_traces(id)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  for _, key in ipairs({ 'active', 'processing', 'delayed', 'deadlines' }) do call('ZREM', Q .. key, id) end
  call('HDEL', Q .. 'states', id)
  call('DEL', P .. 'task:' .. id, request_key(id), Q .. 'attempts:' .. id, Q .. 'checkpoints:' .. id)
  defer_to_claim(id)
end

local function put_score(key, score, id)
  call('ZADD', key, digits[score], id)
  count_mended()
end

local function await_dependency(task, dep, completed)
  put_score(Q .. 'dependents:' .. dep, next_order(), task.id)
  defer_to_claim(completed and dep .. '+' or dep)
end

local function check_dependencies(task)
  local id, extras, deps = task.id, extras_of(task.state), task.terms.deps or {}
  local seen, waits, gone = {}, 0, nil
  fetch(deps)
  for _, dep in ipairs(deps) do
    local key = Q .. 'dependents:' .. dep
    local need = not seen[dep] and find_kept(dep)
    local status = need and need.state.status
    local is_dependent = not seen[dep] and call('ZSCORE', key, id)
    if not (seen[dep] or need or is_dependent) then
      gone = dep
    elseif not seen[dep] and (status ~= 'COMPLETED' or is_dependent) then
      waits = waits + 1
      if not is_dependent then put_score(key, next_order(), id) end
      -- The dependency has ended. Either its dependents are being notified, or the entry that says so was lost.
      if status == 'COMPLETED' then
        if call('EXISTS', Q .. 'unnotified') == 0 then defer_to_claim(dep .. '+') end
      elseif status ~= 'PENDING' and status ~= 'PROCESSING' and status ~= 'LOST' and call('EXISTS', Q .. 'unnotified') == 0 then
        defer_to_claim(dep)
      end
    end
    seen[dep] = true
  end
  -- A dependency without a record has completed, and its retention has passed. It was lost before its end if the task waits for more than was found.
  if gone and waits < (extras.waits or 1) then
    waits = waits + 1
    await_dependency(task, gone, false)
  elseif waits == 0 and deps[1] then
    -- All have completed, and the task was not notified of the last one: it is notified of the first one again.
    waits = 1
    await_dependency(task, deps[1], true)
  end
  if waits == 0 then
    defer_to_claim(id .. '!')
  elseif extras.waits ~= waits then
    extras.waits = waits
    change(task)
    count_mended()
  end
end

-- Whether a turn is further ahead than all that the tenant has waiting could have brought it: the score was damaged.
local function is_implausible_turn(priority, tenant, turn)
  return turn < 0 or turn >= MAX_TURN or turn > (share('round:' .. priority) or 0) + ROUND * (2 * counted('waiting', tenant) + 100)
end

local function check_queued(task)
  local id, terms, state = task.id, task.terms, task.state
  local name, score = queue_of(id)
  if name and (name == 'requeued') ~= (state.lease > 0) then
    -- It is queued as a task that has run, and its state does not say so: the state was lost. The reverse is harmless.
    if state.lease == 0 then defer_to_claim(id .. '!') end
  elseif name and STRIDE[name] and is_implausible_turn(name, terms.tenant, score) then
    call('ZREM', queue(name), id)
    turns_of(name)[terms.tenant] = nil
    call('HDEL', Q .. 'turns:' .. name, terms.tenant)
    enqueue_task(id, terms)
    count_mended()
  elseif not name and call('ZSCORE', Q .. 'capped:' .. terms.tenant, id) then
    -- Without other tasks of the tenant that run or are about to, no end of a lease would readmit it.
    local ready = counted('waiting', terms.tenant) - counted('scheduled', terms.tenant)
    if counted('running', terms.tenant) == 0 and ready <= call('ZCARD', Q .. 'capped:' .. terms.tenant) then
      readmit_capped(terms.tenant)
      count_mended()
    end
  elseif not name then
    if state.lease > 0 then add_to_queue('requeued', id, digits[now]) else enqueue_task(id, terms) end
    notify_workers()
    count_mended()
  end
  if terms.queue_timeout and state.lease == 0 then
    local ends, known = state.step_at + terms.queue_timeout, tonumber(call('ZSCORE', Q .. 'deadlines', id) or nil)
    if not known or known > ends then put_score(Q .. 'deadlines', ends, id) end
  end
end

local function check_pending(task)
  local id, state = task.id, task.state
  local delayed_until = call('ZSCORE', Q .. 'delayed', id)
  if state.step == 'waiting_for_dependencies' then
    check_dependencies(task)
  elseif state.step == 'scheduled' or state.step == 'retrying' then
    -- Once due, it is in a queue or capped, with the same step.
    if delayed_until and tonumber(delayed_until) > state.step_at then
      put_score(Q .. 'delayed', state.step_at, id)
    elseif not delayed_until and not is_placed(task) then
      put_score(Q .. 'delayed', state.step_at, id)
    end
  elseif state.lease == 0 and (delayed_until or call('ZSCORE', Q .. 'processing', id)) then
    -- It has run, and its state does not say so: the state was lost.
    defer_to_claim(id .. '!')
  else
    check_queued(task)
  end
end

local function check_running(task)
  local ends = tonumber(call('ZSCORE', Q .. 'processing', task.id) or nil)
  if not ends or ends > now + MAX_LEASE_MS then put_score(Q .. 'processing', now + GRACE_MS, task.id) end
end

local function check_message_index(task)
  local index, id, dedup_key = message_index_of(task.terms), task.id, task.terms.dedup_key
  local score = tonumber(call('ZSCORE', index, id) or nil)
  local is_active = score and score < 0
  if is_active and has_dedup_key(index, dedup_key) then return end
  if not is_active then index_active(index, id, dedup_key, first_of(index)) end
  -- Whether other tasks have the same dedup key was lost with it.
  clear_answer(index, dedup_key)
  count_mended()
end

local function check_task(id)
  local task = find(id)
  if not task then
    remove_traces(id)
    return
  end
  local state = task.state
  if state.completed then
    call('ZREM', Q .. 'active', id)
    if not call('ZSCORE', Q .. 'finished', id) then call('ZADD', Q .. 'finished', digits[expires_at(task)], id) end
    return count_mended()
  end
  if state.status == 'LOST' then return defer_to_claim(id .. '!') end
  if state.status == 'PROCESSING' then check_running(task) else check_pending(task) end
  check_message_index(task)
end

-- A page of `active`, from the oldest. Returns the next cursor: tasks that leave `active` move the others up.
local function mend_active(from)
  local key = Q .. 'active'
  local ids, before = call('ZRANGE', key, from, from + MEND_PAGE - 1), call('ZCARD', key)
  fetch(ids)
  for _, id in ipairs(ids) do check_task(id) end
  if #ids < MEND_PAGE then return 's:0' end
  return 'a:' .. digits[from + MEND_PAGE - (before - call('ZCARD', key))]
end
