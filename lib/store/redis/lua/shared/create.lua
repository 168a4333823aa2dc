-- Creates the tasks of drafts. Written once for all by write_new_tasks: records and long requests, as key, value …; messages that have new
-- tasks, as 'message:user'; and by dependency its new dependents, as order, id ….
local new_values, messages_with_new_tasks, new_dependents = {}, {}, {}

local function write_new_tasks()
  for dep, members in pairs(new_dependents) do call('ZADD', Q .. 'dependents:' .. dep, unpack(members)) end
  for i = 1, #new_values, MAX_ARGUMENTS do call('MSET', unpack(new_values, i, math.min(i + MAX_ARGUMENTS - 1, #new_values))) end
  for owner in pairs(messages_with_new_tasks) do call('PUBLISH', P .. 'message:' .. owner, '') end
end

-- `terms`: those that all drafts of the request share.
local function create(draft, user, tenant, terms, batch, key, any_superseded)
  local id, extras = draft.id, draft.extras
  draft.step, draft.step_at = 'waiting_for_dependencies', now
  count('waiting', tenant, 1)
  if #draft.waits == 0 then
    terms.priority, terms.run_at = draft.priority, draft.run_at
    draft.step, draft.step_at = enqueue_or_delay(id, terms)
  end
  if draft.step ~= 'queued' then count_scheduled(tenant, 1) end
  -- Dependents are notified in the order in which they came.
  local order = #draft.waits > 0 and next_order()
  for _, dep in ipairs(draft.waits) do
    local members = new_dependents[dep] or {}
    new_dependents[dep], members[#members + 1], members[#members + 2] = members, order, id
  end

  if #draft.deps > 0 then extras.deps = draft.deps end
  if #draft.waits > 0 then extras.waits = #draft.waits end
  if batch ~= '' then extras.batch = batch elseif key ~= '' then extras.key = key end
  -- The terms that only this script knows, then those that the caller has made into words.
  local record = '\n2 ' .. digits[now] .. ' ' .. draft.step .. ' ' .. (draft.step_at == now and '' or digits[draft.step_at]) .. ' ' .. draft.dedup_key .. ' ' .. draft.head ..
    (next(extras) and ' ' .. cjson.encode(extras) or '') .. '\n'
  if #draft.request <= MAX_INLINE_BYTES then
    record = record .. draft.request
  else
    new_values[#new_values + 1], new_values[#new_values + 2] = request_key(id), draft.request
  end
  local name = P .. 'task:' .. id
  new_values[#new_values + 1], new_values[#new_values + 2], new_records[name], tasks[id] = name, record, record, nil

  -- A failed dependent that is retried will need this task in place of the failed one.
  local failed = draft.retry_of ~= '' and find(draft.retry_of)
  if failed then
    extras_of(failed.state).retried_as = id
    change(failed)
  end
  active_changes[id] = now
  local owner = draft.message .. ':' .. user
  local index = P .. 'message_tasks:' .. owner
  local is_shared = has_dedup_key(index, draft.dedup_key)
  index_active(index, id, draft.dedup_key, first_of(index), any_superseded and call('ZSCORE', Q .. 'superseded', owner))
  if is_shared then mark_shared(index, draft.dedup_key) end
  messages_with_new_tasks[owner] = true
end
