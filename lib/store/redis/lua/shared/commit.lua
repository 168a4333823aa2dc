-- Writes what this call has changed, where possible with one command for each key.
local function write_tasks()
  local texts, ended_ids = {}, {}
  for _, task in ipairs(changed_tasks) do
    local text = task.hint or state_text(task.state)
    if task.is_deleted then
      ended_ids[#ended_ids + 1] = task.id
    elseif task.state.completed then
      task.record, task.stored_state = text .. record_tail(task), false
      if task.had_ended then
        call('SET', task.key, task.record, 'KEEPTTL')
      else
        call('SET', task.key, task.record, 'PX', digits[task.terms.keep_task])
      end
      ended_ids[#ended_ids + 1] = task.id
    else
      task.stored_state, texts[#texts + 1], texts[#texts + 2] = text, task.id, text
    end
  end
  for i = 1, #texts, 2 * MAX_ARGUMENTS do call('HSET', Q .. 'states', unpack(texts, i, math.min(i + 2 * MAX_ARGUMENTS - 1, #texts))) end
  for i = 1, #ended_ids, MAX_ARGUMENTS do call('HDEL', Q .. 'states', unpack(ended_ids, i, math.min(i + MAX_ARGUMENTS - 1, #ended_ids))) end
  for i = 1, #hints, 2 do call('PUBLISH', P .. 'updates:' .. hints[i], hints[i + 1]) end
end

-- `scores`: by id; false where the id leaves the sorted set.
local function write_scores(key, scores)
  local added, removed = {}, {}
  for id, score in pairs(scores) do
    if score then
      added[#added + 1], added[#added + 2] = digits[score], id
    else
      removed[#removed + 1] = id
    end
    if #added + #removed >= MAX_ARGUMENTS then
      if #removed > 0 then call('ZREM', key, unpack(removed)) end
      if #added > 0 then call('ZADD', key, unpack(added)) end
      added, removed = {}, {}
    end
  end
  if #removed > 0 then call('ZREM', key, unpack(removed)) end
  if #added > 0 then call('ZADD', key, unpack(added)) end
end

local function commit()
  flush_queues()
  write_tasks()
  write_scores(Q .. 'processing', lease_changes)
  write_scores(Q .. 'active', active_changes)
  write_scores(Q .. 'finished', finished_changes)
  if finished_ttl > 0 then prolong(Q .. 'finished', digits[finished_ttl]) end
  write_tenants()
  for i = 1, #keys_to_delete, MAX_ARGUMENTS do call('DEL', unpack(keys_to_delete, i, math.min(i + MAX_ARGUMENTS - 1, #keys_to_delete))) end
  if must_signal_work then signal_work() end
end
