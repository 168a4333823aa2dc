-- Once, lest a batch that names a task twice count its end twice.
local function note(id, field, value)
  local before = call('HGET', record(id), field) or ''
  if string.find(before .. ' ', ' ' .. value .. ' ', 1, true) then return false end
  call('HSET', record(id), field, before .. ' ' .. value)
  return true
end

-- Binds a batch and an Idempotency-Key to the tasks that answer; both are kept as long as the longest of them.
local function bind(drafts, user, batch, key, body)
  if batch == '' and key == '' then return end
  local ids, unfinished, last, crowded = {}, 0, now, false
  for i, draft in ipairs(drafts) do
    ids[i] = draft.becomes
    local expires = tonumber(call('HGET', record(ids[i]), 'expires'))
    if expires then last = math.max(last, expires) end
    if batch == '' then
      if answers_for(ids[i], 'keys') >= MOST_ANSWERED then return end
      note(ids[i], 'keys', key)
      unfinished = expires and 0 or 1
    elseif expires and answers_for(ids[i], 'batches') >= MOST_ANSWERED then
      crowded = true
    elseif note(ids[i], 'batches', batch) and not expires then
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
  -- Nothing unfinished expires: what is bound to it goes with the last of them. Whoever has made a batch can read it.
  if crowded then last = math.min(last, now + 60000) end
  for _, name in ipairs(unfinished == 0 and bound or {}) do call('PEXPIRE', name, last - now) end
end
