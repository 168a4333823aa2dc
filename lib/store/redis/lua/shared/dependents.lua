-- What becomes of tasks that wait for a task that has ended.

-- If the dependency completed and no other is left, the dependent is queued; if it ended without a chart, the dependent fails.
local function notify_dependent(id, completed)
  local task = find(id)
  -- Its record was lost.
  if not task then return end
  local terms, state = task.terms, task.state
  if state.status == 'LOST' then return fail_lost(task) end
  if state.step ~= 'waiting_for_dependencies' then return end
  -- Tasks that are superseded together are cancelled together, even if one needs the other.
  if is_superseded(id, terms) then
    cancel_task(id)
  elseif not completed then
    remove_waiting(task)
    extras_of(state).code = 'CHARTS_ERR_DEPENDENCY_FAILED'
    finish(task, 'FAILED')
  else
    cascaded = cascaded + 1
    local waits = (extras_of(state).waits or 1) - 1
    extras_of(state).waits = waits > 0 and waits or nil
    change(task)
    if waits > 0 then return end
    state.step, state.step_at = enqueue_or_delay(id, terms)
    if state.step == 'queued' then count_scheduled(terms.tenant, -1) end
    announce(task)
    notify_workers()
  end
end

-- Notifies the dependents of a task. Returns false if some are left.
local function notify_dependents(id, completed)
  -- An entry with '!' is a task that clean-up has found to be lost.
  local lost = string.sub(id, -1) == '!' and find(string.sub(id, 1, -2))
  if lost then fail_lost(lost) end
  local key = Q .. 'dependents:' .. id
  local dependents = call('ZRANGE', key, 0, math.max(0, MAX_CASCADE - cascaded))
  fetch(dependents)
  for _, dependent in ipairs(dependents) do
    if cascaded >= MAX_CASCADE then return false end
    call('ZREM', key, dependent)
    notify_dependent(dependent, completed)
  end
  return true
end

-- Notifies the dependents of the tasks that this call has ended, and of those that end thereby: in rounds, because a chain of dependents may be
-- too long for recursion. Tasks with dependents left are deferred. Returns whether there are such.
local function notify_all_dependents()
  local left = {}
  for _, one in ipairs(unnotified) do
    local id, completed = unpack(one)
    if not notify_dependents(id, completed) then left[#left + 1] = completed and id .. '+' or id end
  end
  unnotified = {}
  if #left > 0 then call('RPUSH', Q .. 'unnotified', unpack(left)) end
  return #left > 0
end
