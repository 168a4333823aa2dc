-- Bounds what tasks that never run can store: they are cheap to create, and each could keep a long request.

-- Longest adjustment_query (bytes) of a request that is kept where no chart will be made of it.
local MAX_KEPT_QUERY_BYTES = RULES.MAX_KEPT_BYTES
-- Cuts `params`, and a longer adjustment_query, from a request that has a key of its own, and moves the rest into the record.
local function shorten_request(task)
  local raw = task.has_request_key and call('GET', request_key(task.id))
  local query = raw and string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  -- These are the names of fields: within a string, quotes are escaped. 20 is the length of the first.
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MAX_KEPT_QUERY_BYTES then value = 'null' end
  task.record, task.has_request_key = task.record .. string.sub(raw, 1, query + 19) .. value .. '}', false
  keys_to_delete[#keys_to_delete + 1] = request_key(task.id)
  extras_of(task.state).shortened = true
  change(task)
end

-- Deletes a finished task before its retention ends, and what leads to it.
local function delete_task(id)
  local task = find(id)
  if not task then return end
  local terms, state = task.terms, task.state
  for _, key in ipairs(extras_of(state).keys or {}) do
    local answer = call('GET', Q .. 'idempotency:' .. key)
    if answer and string.sub(answer, 1, #id) == id then call('DEL', Q .. 'idempotency:' .. key) end
  end
  for _, batch in ipairs(extras_of(state).batches or {}) do
    local ids, key = unpack(call('HMGET', Q .. 'batch:' .. batch, 'ids', 'key'))
    -- Ids have a space between them: more deleted tasks than spaces are all tasks of the batch.
    if ids and call('HINCRBY', Q .. 'batch:' .. batch, 'gone', 1) > select(2, string.gsub(ids, ' ', '')) then
      call('DEL', Q .. 'batch:' .. batch, Q .. 'idempotency:' .. (key or ''))
    end
  end
  local index = message_index_of(terms)
  local score, pointer = call('ZSCORE', index, id), call('ZSCORE', index, '=' .. terms.dedup_key)
  if score and pointer and math.abs(pointer - score) == FAR then call('ZREM', index, '=' .. terms.dedup_key) end
  call('ZREM', index, id)
  call('ZREM', Q .. 'finished', id)
  call('DEL', task.key, request_key(id), Q .. 'attempts:' .. id)
  task.is_deleted, tasks[id] = true, false
end

-- Of a tenant's tasks that have ended without an attempt, the latest are kept; the latest of these with their whole requests.
local MAX_UNRUN, MAX_WHOLE_REQUESTS = RULES.MAX_UNRUN, RULES.MAX_WHOLE_REQUESTS
local function limit_unrun(id, tenant, keep)
  local key = Q .. 'unrun:' .. tenant
  local length = call('RPUSH', key, id)
  if length == 1 then call('PEXPIRE', key, keep) else call('PEXPIRE', key, keep, 'GT') end
  if length > MAX_WHOLE_REQUESTS then
    local old = find(call('LINDEX', key, -MAX_WHOLE_REQUESTS - 1))
    if old and old.state.completed then shorten_request(old) end
  end
  if length > MAX_UNRUN then delete_task(call('LPOP', key)) end
end
