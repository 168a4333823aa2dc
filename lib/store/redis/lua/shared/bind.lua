-- Keys that one unfinished task is asked for with: more are answered, and not remembered, lest its record grow without end.
local MOST_KEYS = 100

-- Once, lest a batch that names a task twice count its end twice.
local function note(id, field, value)
  local noted = call('HGET', record(id), field) or ''
  if string.find(noted .. ' ', ' ' .. value .. ' ', 1, true) then return false end
  call('HSET', record(id), field, noted .. ' ' .. value)
  return true
end

-- Binds a batch and an Idempotency-Key to the tasks that answer; both are kept as long as the longest of them.
local function bind(drafts, user, batch, key, body)
  if batch == '' and key == '' then return end
  local ids, unfinished, last = {}, 0, now
  for i, draft in ipairs(drafts) do
    ids[i] = draft.becomes
    local expires = tonumber(call('HGET', record(ids[i]), 'expires'))
    local joins = batch ~= '' and note(ids[i], 'batches', batch)
    if expires then
      last = math.max(last, expires)
    elseif batch == '' then
      unfinished = unfinished + 1
      if select(2, string.gsub(call('HGET', record(ids[i]), 'keys'), '%S+', '')) >= MOST_KEYS then return end
      note(ids[i], 'keys', key)
    elseif joins then
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
