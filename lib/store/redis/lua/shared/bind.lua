-- Keys and batches that one unfinished task answers for, lest its record grow without end: more keys are answered and not
-- remembered, more batches are refused.
local MOST_NOTED = 100
local function noted(id, field)
  local value = call('HGET', record(id), field) or ''
  return value, select(2, string.gsub(value, '%S+', ''))
end

-- Returns why not and which, if a task that is named answers for as many batches as it may.
local function find_crowded(drafts)
  for _, draft in ipairs(drafts) do
    if draft.outcome == 'already_active' and select(2, noted(draft.becomes, 'batches')) >= MOST_NOTED then return { 'task_crowded', draft.id } end
  end
end

-- Once, lest a batch that names a task twice count its end twice.
local function note(id, field, value)
  local before = noted(id, field)
  if string.find(before .. ' ', ' ' .. value .. ' ', 1, true) then return false end
  call('HSET', record(id), field, before .. ' ' .. value)
  return true
end

-- Binds a batch and an Idempotency-Key to the tasks that answer; both are kept as long as the longest of them.
local function bind(drafts, user, batch, key, body)
  if batch == '' and key == '' then return end
  local ids, unfinished, last = {}, 0, now
  for i, draft in ipairs(drafts) do
    ids[i] = draft.becomes
    local expires = tonumber(call('HGET', record(ids[i]), 'expires'))
    if expires then
      last = math.max(last, expires)
    elseif batch == '' then
      unfinished = unfinished + 1
      if select(2, noted(ids[i], 'keys')) >= MOST_NOTED then return end
      note(ids[i], 'keys', key)
    elseif note(ids[i], 'batches', batch) then
      unfinished = unfinished + 1
    end
  end
  local bound = {}
  if batch ~= '' then
    bound[1] = P .. 'batch:' .. batch
    call('HSET', bound[1], 'user', user, 'ids', table.concat(ids, ' '), 'left', unfinished, 'key', key)
  end
  if key ~= '' then
    bound[#bound + 1] = P .. 'idempotency:' .. key
    call('SET', bound[#bound], (batch ~= '' and batch or ids[1]) .. body)
  end
  -- Nothing unfinished expires: what is bound to it goes with the last of them.
  for _, name in ipairs(unfinished == 0 and bound or {}) do call('PEXPIRE', name, last - now) end
end
