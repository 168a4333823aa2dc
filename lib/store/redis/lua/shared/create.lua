-- Who waits for whom, written once for all: of a batch, many may wait for the same.
local dependents = {}
local function depend(id, dep, order)
  local members = dependents[dep] or {}
  dependents[dep], members[#members + 1], members[#members + 2] = members, order, id
end
local function write_dependents()
  for dep, members in pairs(dependents) do call('ZADD', P .. 'dependents:' .. dep, unpack(members)) end
end

local function create(draft, user, tenant, keep, attempts, backoff, patience, weight, any_replaced)
  local id, optional = draft.id, {}
  draft.step, draft.at = 'waiting_for_dependencies', now
  count('waiting', tenant, 1)
  if #draft.waits == 0 then draft.step, draft.at = admit(id, tenant, draft.priority, draft.run_at, patience, weight) end
  if draft.step ~= 'queued' then set_aside(tenant, 1) end
  -- Dependents are told of the end in the order in which they came: `shares` lives as long as anything waits.
  local order = #draft.waits > 0 and call('HINCRBY', P .. 'shares', 'order', 1)
  for _, dep in ipairs(draft.waits) do depend(id, dep, order) end

  local function add(field, value) optional[#optional + 1], optional[#optional + 2] = field, value end
  if draft.run_at > 0 then add('run_at', draft.run_at) end
  if patience then add('patience', patience) end
  if weight then add('weight', weight) end
  if draft.retry_of ~= '' then add('retry_of', draft.retry_of) end
  -- Whoever needed the failed one can be run again with this one in its place.
  if draft.retry_of ~= '' and call('EXISTS', record(draft.retry_of)) == 1 then call('HSET', record(draft.retry_of), 'retried_as', id) end
  if #draft.deps > 0 then
    add('deps', table.concat(draft.deps, ' '))
    add('left', #draft.waits)
  end
  call('SET', request(id), draft.request)
  call('HSET', record(id), 'format', 1, 'message', draft.message, 'user', user, 'tenant', tenant, 'shared', draft.shared, 'same', draft.same,
    'priority', draft.priority, 'keep', keep, 'max', attempts, 'backoff', backoff, 'keys', '', 'status', 'PENDING', 'progress', 0,
    'version', 1, 'created', now, 'attempt', 0, 'lease', 0, 'step', draft.step, 'at', draft.at, unpack(optional))

  call('ZADD', P .. 'active', now, id)
  index_active(P .. 'same:' .. draft.same, id)
  local owner = draft.message .. ':' .. user
  index_active(P .. 'message_tasks:' .. owner, id, any_replaced and call('ZSCORE', P .. 'superseded', owner))
  -- Nobody watches a task that has just been named: its message says that there is one more.
  call('PUBLISH', P .. 'message:' .. draft.message .. ':' .. user, id)
end
