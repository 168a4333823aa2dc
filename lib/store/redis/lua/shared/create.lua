-- Who waits for whom, written once for all: of a batch, many may wait for the same.
local dependents = {}
local function depend(id, dep, order)
  local members = dependents[dep] or {}
  dependents[dep], members[#members + 1], members[#members + 2] = members, order, id
end
local function write_dependents()
  for dep, members in pairs(dependents) do call('ZADD', Q .. 'dependents:' .. dep, unpack(members)) end
end

-- Messages that have more tasks, and the records of new tasks by their keys.
local messages_with_new_tasks, records = {}, {}

-- Stores new tasks, and tells the watchers of each message once.
local function write_new()
  for i = 1, #records, MAX_FETCHED do call('MSET', unpack(records, i, math.min(i + MAX_FETCHED - 1, #records))) end
  for owner in pairs(messages_with_new_tasks) do call('PUBLISH', P .. 'message:' .. owner, '') end
end

local function create(draft, user, tenant, terms, batch, key, any_replaced)
  local id, extras = draft.id, draft.extras
  draft.step, draft.at = 'waiting_for_dependencies', now
  count('waiting', tenant, 1)
  if #draft.waits == 0 then
    terms.priority, terms.run_at = draft.priority, draft.run_at
    draft.step, draft.at = enqueue_or_delay(id, terms)
  end
  if draft.step ~= 'queued' then count_scheduled(tenant, 1) end
  -- Dependents are told of the end in the order in which they came.
  local order = #draft.waits > 0 and next_order()
  for _, dep in ipairs(draft.waits) do depend(id, dep, order) end

  if #draft.deps > 0 then extras.deps = draft.deps end
  if #draft.waits > 0 then extras.waits = #draft.waits end
  if batch ~= '' then extras.batch = batch elseif key ~= '' then extras.key = key end
  -- What only this script knows, then what the caller has packed.
  local record = '\n2 ' .. digits[now] .. ' ' .. draft.step .. ' ' .. digits[draft.at] .. ' ' .. draft.dedup_key .. ' ' .. draft.head ..
    (next(extras) and ' ' .. cjson.encode(extras) or '') .. '\n'
  if #draft.request <= MAX_INLINE then
    record = record .. draft.request
  else
    records[#records + 1], records[#records + 2] = request_key(id), draft.request
  end
  local name = P .. 'task:' .. id
  records[#records + 1], records[#records + 2], new_records[name], tasks[id] = name, record, record, nil

  -- A failed dependent that is retried depends on this task in place of the failed one.
  local failed = draft.retry_of ~= '' and find(draft.retry_of)
  if failed then
    extras_of(failed.state).retried_as = id
    change(failed)
  end
  active_changes[id] = now
  local owner = draft.message .. ':' .. user
  local index = P .. 'message_tasks:' .. owner
  local is_shared = has_dedup_key(index, draft.dedup_key)
  index_active(index, id, draft.dedup_key, first_of(index), any_replaced and call('ZSCORE', Q .. 'superseded', owner))
  if is_shared then mark_shared(index, draft.dedup_key) end
  messages_with_new_tasks[owner] = true
end
