-- What becomes of drafts that are accepted together is decided before anything is written: all of them, or none.
-- A draft gets `deps`, `becomes` (the task that answers it) and `outcome`; a new one also `waits`: the deps that have not completed.

-- The newest active task that is alike, else the one that is COMPLETED, if its chart is there; third, the chart if only the host knows.
local function find_alike(draft, charts_inside)
  -- The index has at most one that is COMPLETED, above all active ones.
  local id, score = unpack(call('ZRANGE', P .. 'same:' .. draft.same, 0, 0, 'WITHSCORES'))
  if not id then return end
  if tonumber(score) < 0 then return id, 'already_active' end
  if not read(id) then return end
  local chart = call('HGET', record(id), 'chart')
  if chart == draft.asked and not draft.kept then return end
  if charts_inside and call('EXISTS', P .. 'chart:' .. chart) == 0 then return end
  return id, 'chart_exists', not charts_inside and chart ~= draft.asked and chart or nil
end

-- Alike drafts are one task. Returns the drafts by their ids, those that are new, and the charts of which the host must be asked first, if any.
local function match_alike(drafts, charts_inside)
  local by_id, planned, fresh, unasked = {}, {}, {}, {}
  for _, draft in ipairs(drafts) do by_id[draft.id] = draft end
  -- What it needs is matched first: two that need different tasks are not alike.
  local function match(draft)
    if draft.deps then return end
    draft.deps = {}
    for need in string.gmatch(draft.needs, '%S+') do
      if by_id[need] then match(by_id[need]) end
      draft.deps[#draft.deps + 1] = by_id[need] and by_id[need].becomes or need
    end
    if #draft.deps > 0 then draft.same = redis.sha1hex(draft.same .. ' ' .. table.concat(draft.deps, ' ')) end
    if planned[draft.same] and not draft.force and not draft.known then
      draft.becomes, draft.outcome = planned[draft.same], 'already_active'
    elseif not draft.force and not draft.known then
      local chart
      draft.becomes, draft.outcome, chart = find_alike(draft, charts_inside)
      if chart then unasked[#unasked + 1] = { draft.id, chart } end
    end
    if not draft.becomes then
      draft.becomes, draft.outcome, draft.fresh = draft.id, 'queued', not draft.known
      planned[draft.same] = draft.id
    end
  end
  for _, draft in ipairs(drafts) do match(draft) end
  for _, draft in ipairs(drafts) do
    if draft.fresh then fresh[#fresh + 1] = draft end
  end
  return by_id, fresh, #unasked > 0 and { 'charts_unasked', unasked }
end

-- Returns why not and which, if a task that is needed is nobody's, somebody else's, or has not worked out.
local function resolve_needs(by_id, fresh, user)
  for _, draft in ipairs(fresh) do
    draft.waits = {}
    local needs = string.gmatch(draft.needs, '%S+')
    for _, dep in ipairs(draft.deps) do
      local need = needs()
      local t = call('HMGET', record(dep), 'status', 'user', 'expires')
      if not (by_id[dep] and by_id[dep].fresh) then
        if not t[1] or t[2] ~= user or (t[3] and tonumber(t[3]) <= now) then return { 'dependency_unknown', need } end
        if t[1] == 'FAILED' or t[1] == 'CANCELLED' then return { 'dependency_failed', need } end
      end
      -- Twins of a batch are one task: whoever needs both waits for it once.
      if t[1] ~= 'COMPLETED' and not draft.waits[dep] then
        draft.waits[dep], draft.waits[#draft.waits + 1] = true, dep
      end
    end
  end
end

-- Keys and batches that one unfinished task answers for, lest its record grow without end: more keys are answered and not
-- remembered, more batches are refused.
local MOST_ANSWERED = 100
local function answers_for(id, field) return select(2, string.gsub(call('HGET', record(id), field) or '', '%S+', '')) end

-- Returns why not and which, if a task that is named answers for as many batches as it may.
local function find_crowded(drafts)
  for _, draft in ipairs(drafts) do
    if draft.outcome == 'already_active' and answers_for(draft.becomes, 'batches') >= MOST_ANSWERED then return { 'task_crowded', draft.id } end
  end
end

-- What is kept keeps what it waits for, however far: to cancel that would end it.
local function keep_needed(kept)
  local open = {}
  for id in pairs(kept) do open[#open + 1] = id end
  while #open > 0 do
    local t = call('HMGET', record(table.remove(open)), 'left', 'deps')
    for dep in string.gmatch(tonumber(t[1] or 0) > 0 and t[2] or '', '%S+') do
      if not kept[dep] then kept[dep], open[#open + 1] = true, dep end
    end
  end
end

-- The active tasks that the drafts replace; what answers a draft, or is needed, stays.
local function find_older(drafts, user)
  local kept, older, replacing = {}, {}, {}
  for _, draft in ipairs(drafts) do
    kept[draft.becomes] = true
    for _, dep in ipairs(draft.fresh and draft.deps or {}) do kept[dep] = true end
    if draft.supersede then replacing[#replacing + 1] = draft end
  end
  if #replacing > 0 then keep_needed(kept) end
  for _, draft in ipairs(replacing) do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'message_tasks:' .. draft.message .. ':' .. user, '-inf', '(0')) do
      if not kept[id] then kept[id], older[#older + 1] = true, id end
    end
  end
  return older
end

-- Returns which limit would be passed, and by how many new tasks; what is about to be cancelled makes room.
local function find_full(fresh, older, tenant, most_of_tenant, most)
  local freed, freed_of_tenant = 0, 0
  for _, id in ipairs(older) do
    local t = call('HMGET', record(id), 'status', 'tenant')
    if t[1] == 'PENDING' then
      freed = freed + 1
      if t[2] == tenant then freed_of_tenant = freed_of_tenant + 1 end
    end
  end
  if #fresh == 0 or most_of_tenant + most == 0 then return end
  local waiting = call('HMGET', P .. 'waiting', tenant, '')
  local function full(waiting, limit, room) return limit > 0 and tonumber(waiting or 0) - room + #fresh > limit end
  if full(waiting[1], most_of_tenant, freed_of_tenant) then return { 'tenant_full', #fresh } end
  if full(waiting[2], most, freed) then return { 'queue_full', #fresh } end
end
