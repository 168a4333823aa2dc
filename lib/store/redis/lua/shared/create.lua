local function create(draft, user, tenant, keep, attempts, backoff)
  local id = draft.id
  call('SET', P .. 'request:' .. id, draft.request)
  call('HSET', record(id), 'format', 1, 'message', draft.message, 'user', user, 'tenant', tenant, 'shared', draft.shared, 'same', draft.same,
    'priority', draft.priority, 'keep', keep, 'max', attempts, 'backoff', backoff, 'keys', '', 'status', 'PENDING', 'progress', 0,
    'version', 1, 'created', now, 'attempt', 0, 'lease', 0)
  count('waiting', tenant, 1)
  if draft.run_at > 0 then call('HSET', record(id), 'run_at', draft.run_at) end
  if #draft.deps > 0 then call('HSET', record(id), 'deps', table.concat(draft.deps, ' '), 'left', #draft.waits) end
  if #draft.waits > 0 then
    call('HSET', record(id), 'step', 'waiting_for_dependencies')
    for _, dep in ipairs(draft.waits) do call('RPUSH', P .. 'dependents:' .. dep, id) end
  else
    admit(id, tenant, draft.priority, draft.run_at)
  end
  index_active(P .. 'same:' .. draft.same, id)
  index_active(P .. 'message_tasks:' .. draft.message .. ':' .. user, id)
  -- Nobody watches a task that has just been named: its message says that there is one more.
  call('PUBLISH', P .. 'message:' .. draft.message .. ':' .. user, id)
end
