-- Finds the older tasks that drafts with `supersede` end.

-- More tasks are superseded by a decision (supersede.lua), and cancelled a few at a time.
local MAX_CANCELLED_NOW = RULES.MAX_CASCADE

-- Adds to `kept` what the tasks in it wait for, however far: to cancel a dependency would fail them. Sets the terms of each (false where there
-- is no such task).
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

-- Returns the ids of the unfinished tasks that the drafts supersede or, if these are many, the messages that they belong to ('message:user');
-- and the tasks that are kept because they answer a draft or are needed (id → terms or false).
local function find_superseded(drafts, user)
  local kept, owners, seen, active_count = {}, {}, {}, 0
  for _, draft in ipairs(drafts) do
    local owner = draft.message .. ':' .. user
    if draft.supersede and not seen[owner] then
      local active = call('ZCOUNT', P .. 'message_tasks:' .. owner, FIRST, '(0')
      if active > 0 then owners[#owners + 1] = owner end
      seen[owner], active_count = true, active_count + active
    end
  end
  if active_count == 0 then return {}, {}, kept end
  for _, draft in ipairs(drafts) do
    kept[draft.becomes] = false
    for _, dep in ipairs(draft.is_new and draft.deps or {}) do kept[dep] = false end
  end
  keep_dependencies(kept)
  if active_count > MAX_CANCELLED_NOW then return {}, owners, kept end
  local older = {}
  for _, owner in ipairs(owners) do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, FIRST, '(0')) do
      if kept[id] == nil then older[#older + 1] = id end
    end
  end
  return older, {}, kept
end
