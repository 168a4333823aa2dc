-- How tasks stop waiting and stop running.

-- Attempts of one task that are kept.
local MAX_ATTEMPTS = RULES.MAX_ATTEMPTS

-- If the task had its tenant's last turn, the tenant's next task gets that turn. Otherwise a user who replaces a chart again and again would
-- fall behind by a round each time.
local function refund_turn(id, terms)
  local priority, tenant = terms.priority, terms.tenant
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', Q .. 'capped:' .. tenant, id)
  local turn = turn_of(priority, tenant)
  if score and math.floor(score % MAX_TURN) == turn then turns_of(priority)[tenant] = turn - math.floor(ROUND / (terms.weight or 1)) end
end

-- Removes a PENDING task that will not run from wherever it waits.
local function remove_waiting(task)
  local id, terms, step = task.id, task.terms, task.state.step
  flush_queues()
  refund_turn(id, terms)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  local delayed = call('ZREM', Q .. 'delayed', id) == 1
  for _, key in ipairs({ 'deadlines', 'capped:' .. terms.tenant }) do call('ZREM', Q .. key, id) end
  if is_scheduled(step) then
    count_scheduled(terms.tenant, -1)
  elseif delayed then
    count_scheduled(nil, -1)
  end
  for _, dep in ipairs(terms.deps or {}) do call('ZREM', Q .. 'dependents:' .. dep, id) end
  count('waiting', terms.tenant, -1)
  -- The task may have been the one that a freed place of its tenant was used for (capped.lua): the next capped task gets it.
  readmit_capped(terms.tenant)
end

-- `verb`: what ended it; the same verb for the same lease is then answered as a repeated call. `cap` as in readmit_capped.
local function end_lease(task, verb, cap)
  lease_changes[task.id], task.state.settled_by = false, verb
  change(task)
  count('running', task.terms.tenant, -1)
  readmit_capped(task.terms.tenant, cap)
end

-- After an attempt that did not decide the task: PENDING again with progress 0, the attempt appended to the list of attempts. `delay` in ms.
local function requeue(task, step, delay, verb, code, message)
  local id, state, extras = task.id, task.state, extras_of(task.state)
  local key, started = Q .. 'attempts:' .. id, tonumber(string.match(state.trace, ',(%d+)') or now)
  call('RPUSH', key, cjson.encode({ state.attempt, state.lease, state.worker, started, now, verb, state.step, state.progress, code or '', message or '' }))
  call('LTRIM', key, -MAX_ATTEMPTS, -1)
  -- Workers lost in a row. An attempt that was released neither adds to them nor ends the row.
  if verb == 'expire' then
    extras.losses, extras.lost_worker = (extras.losses or 0) + 1, state.worker
  elseif verb ~= 'release' then
    extras.losses, extras.lost_worker = nil, nil
  end
  if verb == 'release' then state.attempt = state.attempt - 1 end
  state.status, state.step, state.step_at, state.progress, state.step_from, state.progress_at = 'PENDING', step, now + delay, 0, nil, nil
  extras.steps, extras.has_attempts = nil, true
  count('waiting', task.terms.tenant, 1)
  if delay > 0 then
    add_timed('delayed', digits[now + delay], id)
    count_scheduled(nil, 1)
  else
    add_to_queue('requeued', id, digits[now])
  end
  announce(task)
  notify_workers()
end
