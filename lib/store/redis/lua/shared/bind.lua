-- Once, lest a batch that names a task twice count its end twice.
local function note(task, field, value)
  local extras = extras_of(task.state)
  local list = extras[field] or {}
  for _, known in ipairs(list) do
    if known == value then return false end
  end
  extras[field], list[#list + 1] = list, value
  change(task)
  return true
end

-- Binds a batch and an Idempotency-Key to the tasks that answer; both are kept as long as the longest of them.
local function bind(drafts, user, batch, key, body)
  if batch == '' and key == '' then return end
  local ids, unfinished, last, has_refused_ref = {}, 0, now, false
  for i, draft in ipairs(drafts) do
    local id = draft.becomes
    ids[i] = id
    if draft.fresh then
      -- Its own record says so.
      unfinished = unfinished + 1
    elseif not draft.is_duplicate then
      local task = find(id)
      local until_then = expires_at(task)
      if until_then then last = math.max(last, until_then) end
      if batch == '' then
        if count_refs(id, 'keys') >= MAX_REFS then return end
        note(task, 'keys', key)
        unfinished = until_then and 0 or 1
      elseif until_then and count_refs(id, 'batches') >= MAX_REFS then
        has_refused_ref = true
      elseif note(task, 'batches', batch) and not until_then then
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
  -- Nothing unfinished expires: what is bound to it goes with the last of them. Whoever has made a batch can read it.
  if has_refused_ref then last = math.min(last, now + 60000) end
  for _, name in ipairs(unfinished == 0 and bound or {}) do call('PEXPIRE', name, last - now) end
end
