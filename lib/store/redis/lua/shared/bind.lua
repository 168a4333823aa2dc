-- Binds a batch and an Idempotency-Key to the tasks that answer a request.

-- Keys, and batches, that one task may answer for: its state lists them. Further keys are answered and not remembered. Further batches are
-- refused while the task is unfinished; once it has ended, they are kept for a minute.
local MAX_REFS = RULES.MAX_REFS
-- `field`: 'keys' or 'batches'.
local function count_refs(id, field)
  local task = find(id)
  return task and #(extras_of(task.state)[field] or {}) or 0
end

-- Returns a refusal { reason, the draft } if an unfinished task that answers a draft already answers for as many batches as it may.
local function find_too_many_batches(drafts)
  for _, draft in ipairs(drafts) do
    if draft.outcome == 'already_active' and count_refs(draft.becomes, 'batches') >= MAX_REFS then return { 'too_many_batches', draft.id } end
  end
end

-- Returns false if the task has the ref already: a batch that names a task twice must count its end once.
local function add_ref(task, field, value)
  local extras = extras_of(task.state)
  local refs = extras[field] or {}
  for _, known in ipairs(refs) do
    if known == value then return false end
  end
  extras[field], refs[#refs + 1] = refs, value
  change(task)
  return true
end

-- The batch and the key are kept as long as the task of the request that is kept longest.
local function bind(drafts, user, batch, key, body)
  if batch == '' and key == '' then return end
  local ids, unfinished, kept_until, is_over_limit = {}, 0, now, false
  for i, draft in ipairs(drafts) do
    local id = draft.becomes
    ids[i] = id
    if draft.is_new then
      -- Its own record names the batch or the key.
      unfinished = unfinished + 1
    elseif not draft.is_duplicate then
      local task = find(id)
      local until_then = expires_at(task)
      if until_then then kept_until = math.max(kept_until, until_then) end
      if batch == '' then
        if count_refs(id, 'keys') >= MAX_REFS then return end
        add_ref(task, 'keys', key)
        unfinished = until_then and 0 or 1
      elseif until_then and count_refs(id, 'batches') >= MAX_REFS then
        is_over_limit = true
      elseif add_ref(task, 'batches', batch) and not until_then then
        unfinished = unfinished + 1
      end
    end
  end
  local bound = {}
  if batch ~= '' then
    bound[1] = Q .. 'batch:' .. batch
    call('HSET', bound[1], 'user', user, 'ids', table.concat(ids, ' '), 'left', unfinished, 'key', key)
  end
  if key ~= '' then
    bound[#bound + 1] = Q .. 'idempotency:' .. key
    call('SET', bound[#bound], (batch ~= '' and batch or ids[1]) .. body)
  end
  -- A minute is enough for the caller to read the batch.
  if is_over_limit then kept_until = math.min(kept_until, now + 60000) end
  -- With unfinished tasks, the batch and the key get an expiry when the last of these ends (end_in_batch).
  for _, name in ipairs(unfinished == 0 and bound or {}) do call('PEXPIRE', name, kept_until - now) end
end
