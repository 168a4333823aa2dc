-- What becomes of drafts that are accepted together is decided before anything is written: all of them, or none.
-- A draft gets `deps`, `becomes` (the task that answers it) and `outcome`; a new one also `waits`: the deps that have not completed.

-- What an index may have of the tasks of one kind: more are not looked at.
local MAX_LOOKED_AT = 1000

-- Whether a task answers a draft: 'already_active', 'chart_exists' or nil; second, the chart.
local function answers_draft(id, draft, any_replaced)
  local task = find_kept(id)
  if not task or task.terms.dedup_key ~= draft.dedup_key then return end
  local status, chart = task.state.status, task.state.chart
  if status == 'PENDING' or status == 'PROCESSING' then return not (any_replaced and is_superseded(id, draft)) and 'already_active' or nil end
  if status == 'COMPLETED' and (chart ~= draft.chart_check or draft.kept) then return 'chart_exists', chart end
end

-- Of several that asked for the same: the newest that is unfinished, else the newest that is COMPLETED.
local function find_newest_duplicate(key, draft, any_replaced)
  for _, range in ipairs({ { 'ZRANGEBYSCORE', FIRST, '(0' }, { 'ZREVRANGEBYSCORE', LAST, '(0' } }) do
    local verb, from, to = unpack(range)
    for offset = 0, MAX_LOOKED_AT - MAX_FETCHED, MAX_FETCHED do
      local ids = call(verb, key, from, to, 'LIMIT', offset, MAX_FETCHED)
      fetch(ids)
      for _, id in ipairs(ids) do
        local outcome, chart = answers_draft(id, draft, any_replaced)
        if outcome then
          local score = call('ZSCORE', key, id)
          call('ZADD', key, digits[score + (outcome == 'chart_exists' and FAR or -FAR)], '=' .. draft.dedup_key)
          return id, outcome, chart
        end
      end
      if #ids < MAX_FETCHED then break end
    end
  end
  call('ZREM', key, '=' .. draft.dedup_key, '+' .. draft.dedup_key)
end

-- The newest active task that is alike, else the one that is COMPLETED, if its chart is there; third, the chart if only the host knows.
local function find_duplicate(draft, stores_content, any_replaced)
  local key = messages_of(draft)
  local pointer = call('ZSCORE', key, '=' .. draft.dedup_key)
  local score = pointer and digits[pointer + (tonumber(pointer) < 0 and FAR or -FAR)]
  local id, outcome, chart = score and call('ZRANGEBYSCORE', key, score, score, 'LIMIT', '0', '1')[1], nil, nil
  if id then outcome, chart = answers_draft(id, draft, any_replaced) end
  if not outcome and call('ZSCORE', key, '+' .. draft.dedup_key) then id, outcome, chart = find_newest_duplicate(key, draft, any_replaced) end
  if outcome ~= 'chart_exists' then return outcome and id, outcome end
  if stores_content and call('EXISTS', P .. 'chart:' .. chart) == 0 then return end
  return id, outcome, not stores_content and chart ~= draft.chart_check and chart or nil
end

-- Alike drafts are one task. Returns the drafts by their ids, those that are new, and the charts of which the host must be asked first, if any.
local function match_duplicates(drafts, stores_content, any_replaced)
  local by_id, planned, fresh, unchecked = {}, {}, {}, {}
  for _, draft in ipairs(drafts) do by_id[draft.id] = draft end
  -- What it needs is matched first: two that need different tasks are not alike.
  local function match(draft)
    if draft.deps then return end
    draft.deps = {}
    for need in string.gmatch(draft.needs, '%S+') do
      if by_id[need] then match(by_id[need]) end
      draft.deps[#draft.deps + 1] = by_id[need] and by_id[need].becomes or need
    end
    if #draft.deps > 0 then draft.dedup_key = redis.sha1hex(draft.dedup_key .. ' ' .. table.concat(draft.deps, ' ')) end
    if planned[draft.dedup_key] and not draft.force and not draft.known then
      draft.becomes, draft.outcome, draft.is_duplicate = planned[draft.dedup_key], 'already_active', true
    elseif not draft.force and not draft.known then
      local chart
      draft.becomes, draft.outcome, chart = find_duplicate(draft, stores_content, any_replaced)
      if chart then unchecked[#unchecked + 1] = { draft.id, chart } end
    end
    if not draft.becomes then
      draft.becomes, draft.outcome, draft.fresh = draft.id, 'queued', not draft.known
      planned[draft.dedup_key] = draft.id
    end
  end
  for _, draft in ipairs(drafts) do match(draft) end
  for _, draft in ipairs(drafts) do
    if draft.fresh then fresh[#fresh + 1] = draft end
  end
  return by_id, fresh, #unchecked > 0 and { 'charts_unasked', unchecked }
end

-- How a task stands that is needed: 'unknown' (there is none, or it is another user's), 'failed', 'completed' or 'open'.
local function dependency_status(dep, user, any_replaced)
  local task = find_kept(dep)
  if not task or task.terms.user ~= user then return 'unknown' end
  local status = task.state.status
  if status == 'FAILED' or status == 'CANCELLED' or status == 'LOST' or (any_replaced and is_superseded(dep, task.terms)) then return 'failed' end
  return status == 'COMPLETED' and 'completed' or 'open'
end

-- Returns why not and which, if a task that is needed is nobody's, somebody else's, or has not worked out.
local function resolve_dependencies(by_id, fresh, user, any_replaced)
  local needed, judged = {}, {}
  for _, draft in ipairs(fresh) do
    for _, dep in ipairs(draft.deps) do
      if not judged[dep] then
        -- Of a batch, many may need the same.
        judged[dep] = by_id[dep] and by_id[dep].fresh and 'open' or 'unread'
        needed[#needed + 1] = judged[dep] == 'unread' and dep or nil
      end
    end
  end
  fetch(needed)
  for _, draft in ipairs(fresh) do
    draft.waits = {}
    local needs = string.gmatch(draft.needs, '%S+')
    for _, dep in ipairs(draft.deps) do
      local need = needs()
      if judged[dep] == 'unread' then judged[dep] = dependency_status(dep, user, any_replaced) end
      if judged[dep] == 'unknown' or judged[dep] == 'failed' then return { 'dependency_' .. judged[dep], need } end
      -- Twins of a batch are one task: whoever needs both waits for it once.
      if judged[dep] == 'open' and not draft.waits[dep] then
        draft.waits[dep], draft.waits[#draft.waits + 1] = true, dep
      end
    end
  end
end

-- Keys and batches that one task answers for, lest it keep more and more of them: more keys are answered and not remembered. More
-- batches are refused where it is unfinished, and kept for a minute where it has ended.
local MAX_REFS = RULES.MAX_ANSWERED
local function count_refs(id, field)
  local task = find(id)
  return task and #(extras_of(task.state)[field] or {}) or 0
end

-- Returns why not and which, if a task that is named answers for as many batches as it may.
local function find_too_many_batches(drafts)
  for _, draft in ipairs(drafts) do
    if draft.outcome == 'already_active' and count_refs(draft.becomes, 'batches') >= MAX_REFS then return { 'task_crowded', draft.id } end
  end
end

-- What is kept keeps what it waits for, however far: to cancel that would end it. `kept` has what was asked for with each, or false.
local function keep_dependencies(kept)
  local open = {}
  for id in pairs(kept) do open[#open + 1] = id end
  while #open > 0 do
    local id = table.remove(open)
    local task = find(id)
    kept[id] = task and task.terms
    for _, dep in ipairs(task and extras_of(task.state).waits and task.terms.deps or {}) do
      if kept[dep] == nil then kept[dep], open[#open + 1] = false, dep end
    end
  end
end

-- More than so many are replaced by a decision, and ended by and by.
local MAX_SUPERSEDED_NOW = RULES.MAX_MOVED

-- The active tasks that the drafts replace; what answers a draft, or is needed, stays. Returns them or, where they are many, the messages
-- whose tasks they are, as 'message:user'; and what stays.
local function find_superseded(drafts, user)
  local kept, owners, seen, count = {}, {}, {}, 0
  for _, draft in ipairs(drafts) do
    local owner = draft.message .. ':' .. user
    if draft.supersede and not seen[owner] then
      local active = call('ZCOUNT', P .. 'message_tasks:' .. owner, FIRST, '(0')
      if active > 0 then owners[#owners + 1] = owner end
      seen[owner], count = true, count + active
    end
  end
  if count == 0 then return {}, {}, kept end
  for _, draft in ipairs(drafts) do
    kept[draft.becomes] = false
    for _, dep in ipairs(draft.fresh and draft.deps or {}) do kept[dep] = false end
  end
  keep_dependencies(kept)
  if count > MAX_SUPERSEDED_NOW then return {}, owners, kept end
  local older = {}
  for _, owner in ipairs(owners) do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, FIRST, '(0')) do
      if kept[id] == nil then older[#older + 1] = id end
    end
  end
  return older, {}, kept
end

-- What is, or has been, replaced and not ended yet makes room: places of the tenant's that wait for their turn, or are scheduled; and of
-- all that could run. Counted until `over` fits; gives up after a thousand, which refuses rather than passes a limit.
local function count_freed_room(older, owners, kept, tenant, over)
  local room, looked, seen = { waiting = 0, scheduled = 0, ready = 0 }, 0, {}
  local function is_enough()
    return looked == 1000 or (room.waiting >= over.waiting and room.scheduled >= over.scheduled and room.ready >= over.ready and
      room.waiting + room.scheduled >= over.both)
  end
  local function look(ids)
    fetch(ids)
    for _, id in ipairs(ids) do
      if is_enough() then return true end
      if kept[id] == nil and not seen[id] then
        local task = find(id)
        seen[id], looked = true, looked + 1
        if task and task.state.status == 'PENDING' then
          local kind = is_scheduled(task.state.step) and 'scheduled' or 'waiting'
          if task.terms.tenant == tenant then room[kind] = room[kind] + 1 end
          if kind == 'waiting' and not call('ZSCORE', Q .. 'delayed', id) then room.ready = room.ready + 1 end
        end
      end
    end
  end
  local function look_at(owner, newest)
    for from = 0, 999, 100 do
      local ids = call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, newest, '(0', 'LIMIT', from, 100)
      if look(ids) then return true end
      if #ids < 100 then return end
    end
  end
  if look(older) then return room end
  for _, owner in ipairs(owners) do
    if look_at(owner, FIRST) then return room end
  end
  local replaced = call('ZREVRANGE', Q .. 'superseded', 0, 99, 'WITHSCORES')
  for i = 1, #replaced, 2 do
    if look_at(replaced[i], replaced[i + 1]) then break end
  end
  return room
end

-- Its functions are made only where a count is wrong.
local function mend_counts_now()
--- @include "counts"
  mend_counts()
end

-- Returns which limit would be passed, and by how many new tasks. `most`: waiting and scheduled tasks of a tenant, and all that could run.
local function find_exceeded_limit(fresh, older, owners, kept, tenant, most)
  if #fresh == 0 or most.waiting + most.scheduled + most.ready == 0 then return end
  local all_of_tenant, all = counted('waiting', tenant), counted('waiting', '')
  local function within(count, limit) return limit == 0 or count + #fresh <= limit end
  -- Mostly all that waits is less than any limit: then it does not matter what it waits for.
  if within(all_of_tenant, most.waiting) and within(all_of_tenant, most.scheduled) and within(all, most.ready) then return end

  -- No more wait than there are: a count that was scrambled must not refuse tasks.
  local unfinished = call('ZCARD', Q .. 'active')
  if stored.waiting[tenant] > unfinished or stored.waiting[''] > unfinished then
    mend_counts_now()
    all_of_tenant, all = counted('waiting', tenant), counted('waiting', '')
  end
  local scheduled = math.min(counted('scheduled', tenant), all_of_tenant)
  local ready_now = all - math.min(counted('scheduled', ''), all)
  local later = 0
  for _, draft in ipairs(fresh) do
    if #draft.waits > 0 or draft.run_at > now then later = later + 1 end
  end
  local ready = #fresh - later
  -- What was scheduled may have come due at once: a tenant that schedules again and again must not have more than the two together.
  local both = most.waiting > 0 and most.scheduled > 0 and most.waiting + most.scheduled or 0
  local function over(fresh, count, limit) return fresh > 0 and limit > 0 and math.max(0, count + fresh - limit) or 0 end
  local needed = {
    waiting = over(ready, all_of_tenant - scheduled, most.waiting), scheduled = over(later, scheduled, most.scheduled),
    both = over(later, all_of_tenant + ready, both), ready = over(ready, ready_now, most.ready)
  }
  if needed.waiting + needed.scheduled + needed.both + needed.ready == 0 then return end
  local room = count_freed_room(older, owners, kept, tenant, needed)
  if room.waiting < needed.waiting then return { 'tenant_full', ready } end
  if room.scheduled < needed.scheduled or room.waiting + room.scheduled < needed.both then return { 'scheduled_full', later } end
  if room.ready < needed.ready then return { 'queue_full', ready } end
end
