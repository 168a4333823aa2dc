-- Checks the tasks that new ones need.

-- 'unknown' (there is none, or another user's), 'failed', 'completed' or 'open'.
local function dependency_status(dep, user, any_superseded)
  local task = find_kept(dep)
  if not task or task.terms.user ~= user then return 'unknown' end
  local status = task.state.status
  if status == 'FAILED' or status == 'CANCELLED' or status == 'LOST' or (any_superseded and is_superseded(dep, task.terms)) then return 'failed' end
  return status == 'COMPLETED' and 'completed' or 'open'
end

-- Sets `waits` of the new drafts. Returns a refusal { reason, the task as the caller named it } if one of the tasks is unknown or has failed.
local function resolve_dependencies(by_id, new, user, any_superseded)
  -- 'unread' until a draft needs it: many drafts of a batch may need the same task.
  local statuses, unread = {}, {}
  for _, draft in ipairs(new) do
    for _, dep in ipairs(draft.deps) do
      if not statuses[dep] then
        statuses[dep] = by_id[dep] and by_id[dep].is_new and 'open' or 'unread'
        unread[#unread + 1] = statuses[dep] == 'unread' and dep or nil
      end
    end
  end
  fetch(unread)
  for _, draft in ipairs(new) do
    draft.waits = {}
    local needs = string.gmatch(draft.needs, '%S+')
    for _, dep in ipairs(draft.deps) do
      local need = needs()
      if statuses[dep] == 'unread' then statuses[dep] = dependency_status(dep, user, any_superseded) end
      if statuses[dep] == 'unknown' or statuses[dep] == 'failed' then return { 'dependency_' .. statuses[dep], need } end
      -- Duplicates of a batch are one task: a draft that needs both waits for it once.
      if statuses[dep] == 'open' and not draft.waits[dep] then
        draft.waits[dep], draft.waits[#draft.waits + 1] = true, dep
      end
    end
  end
end
