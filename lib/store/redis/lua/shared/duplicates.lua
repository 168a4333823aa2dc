-- Finds the tasks that answer drafts with the same dedup key. What becomes of all drafts of a request is decided before anything is written.
-- A draft gets `deps` (ids), `becomes` (the task that answers it) and `outcome`; a new one also `waits` (the deps that have not completed).

-- Tasks with one dedup key that are looked at: Redis serves no other client meanwhile.
local MAX_LOOKED_AT = 1000

-- Whether a task answers a draft: 'already_active', 'chart_exists', 'chart_lost' (the host has lost it) or nil; second, its chart.
local function answers_draft(id, draft, any_superseded)
  local task = find_kept(id)
  if not task or task.terms.dedup_key ~= draft.dedup_key then return end
  local status, chart = task.state.status, task.state.chart
  if status == 'PENDING' or status == 'PROCESSING' then return not (any_superseded and is_superseded(id, draft)) and 'already_active' or nil end
  if status == 'COMPLETED' then return chart == draft.chart_check and not draft.chart_exists and 'chart_lost' or 'chart_exists', chart end
end

-- Of several tasks with the dedup key: the newest unfinished one that answers, else the newest COMPLETED one. It becomes the one that the
-- index points to. If the host has lost its chart, none answers: to ask for older charts, one after the other, would not end where two are lost.
local function find_among_shared(index, draft, any_superseded)
  for _, range in ipairs({ { 'ZRANGEBYSCORE', FIRST, '(0' }, { 'ZREVRANGEBYSCORE', LAST, '(0' } }) do
    local verb, from, to = unpack(range)
    for offset = 0, MAX_LOOKED_AT - MAX_ARGUMENTS, MAX_ARGUMENTS do
      local ids = call(verb, index, from, to, 'LIMIT', offset, MAX_ARGUMENTS)
      fetch(ids)
      for _, id in ipairs(ids) do
        local outcome, chart = answers_draft(id, draft, any_superseded)
        if outcome == 'chart_lost' then return end
        if outcome then
          local score = call('ZSCORE', index, id)
          call('ZADD', index, digits[score + (outcome == 'chart_exists' and FAR or -FAR)], '=' .. draft.dedup_key)
          return id, outcome, chart
        end
      end
      if #ids < MAX_ARGUMENTS then break end
    end
  end
  call('ZREM', index, '=' .. draft.dedup_key, '+' .. draft.dedup_key)
end

-- The task that answers a draft and the outcome. Third, its chart, if the host must be asked whether that exists.
local function find_duplicate(draft, stores_content, any_superseded)
  local index = message_index_of(draft)
  local pointer = call('ZSCORE', index, '=' .. draft.dedup_key)
  local score = pointer and digits[pointer + (tonumber(pointer) < 0 and FAR or -FAR)]
  local id, outcome, chart = score and call('ZRANGEBYSCORE', index, score, score, 'LIMIT', '0', '1')[1], nil, nil
  if id then outcome, chart = answers_draft(id, draft, any_superseded) end
  if outcome == 'chart_lost' then id, outcome = nil, nil end
  if not outcome and call('ZSCORE', index, '+' .. draft.dedup_key) then id, outcome, chart = find_among_shared(index, draft, any_superseded) end
  if outcome ~= 'chart_exists' then return outcome and id, outcome end
  if stores_content and call('EXISTS', P .. 'chart:' .. chart) == 0 then return end
  return id, outcome, not stores_content and chart ~= draft.chart_check and chart or nil
end

-- Returns the drafts by their ids, those that become new tasks, and a refusal with the charts that the host must be asked for, if any.
local function match_duplicates(drafts, stores_content, any_superseded)
  local by_id, id_by_key, new, unchecked = {}, {}, {}, {}
  for _, draft in ipairs(drafts) do by_id[draft.id] = draft end
  -- Dependencies first: the tasks that answer them are part of the dedup key.
  local function match(draft)
    if draft.deps then return end
    draft.deps = {}
    for need in string.gmatch(draft.needs, '%S+') do
      if by_id[need] then match(by_id[need]) end
      draft.deps[#draft.deps + 1] = by_id[need] and by_id[need].becomes or need
    end
    if #draft.deps > 0 then draft.dedup_key = redis.sha1hex(draft.dedup_key .. ' ' .. table.concat(draft.deps, ' ')) end
    if id_by_key[draft.dedup_key] and not draft.force and not draft.known then
      draft.becomes, draft.outcome, draft.is_duplicate = id_by_key[draft.dedup_key], 'already_active', true
    elseif not draft.force and not draft.known then
      local chart
      draft.becomes, draft.outcome, chart = find_duplicate(draft, stores_content, any_superseded)
      if chart then unchecked[#unchecked + 1] = { draft.id, chart } end
    end
    if not draft.becomes then
      draft.becomes, draft.outcome, draft.is_new = draft.id, 'queued', not draft.known
      id_by_key[draft.dedup_key] = draft.id
    end
  end
  for _, draft in ipairs(drafts) do match(draft) end
  for _, draft in ipairs(drafts) do
    if draft.is_new then new[#new + 1] = draft end
  end
  return by_id, new, #unchecked > 0 and { 'chart_check_required', unchecked }
end
