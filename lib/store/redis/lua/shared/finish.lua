-- What has ended in this call, in order and by id; and those of them whose dependents have not been told yet.
local ended, has_ended, unnotified = {}, {}, {}
-- Tasks that one call ends or lets run because of others: Redis serves nobody else meanwhile. What is left stays in the store for the next call.
local MAX_CASCADE = RULES.MAX_MOVED
local cascaded = 0

-- After commit: what has ended, but for `own`.
local function ended_besides(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = task_reply(id) or nil end
  end
  return records
end

-- Bytes of a request that are kept when nobody will make a chart of it: of a longer one the params go, and an adjustment_query that is longer.
-- What is not apart is shorter.
local MAX_KEPT = RULES.MAX_KEPT_BYTES
local function shorten(task)
  local raw = task.apart and call('GET', request_key(task.id))
  local query = raw and string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  -- A quote within a string is escaped, so these are the names of fields. 20: the length of the first.
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MAX_KEPT then value = 'null' end
  task.record, task.apart = task.record .. string.sub(raw, 1, query + 19) .. value .. '}', false
  keys_to_delete[#keys_to_delete + 1] = request_key(task.id)
  extras_of(task.state).shortened = true
  change(task)
end

-- Tasks that have ended without an attempt are cheap to make: of a tenant so many are kept, the latest ones, and so many of them with
-- their whole requests.
local MAX_UNRUN, MAX_WHOLE = RULES.MAX_UNRUN, RULES.MAX_WHOLE

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
    if ids and call('HINCRBY', Q .. 'batch:' .. batch, 'gone', 1) > select(2, string.gsub(ids, ' ', '')) then
      call('DEL', Q .. 'batch:' .. batch, Q .. 'idempotency:' .. (key or ''))
    end
  end
  index_forget(messages_of(terms), id, terms.dedup_key)
  call('ZREM', Q .. 'finished', id)
  call('DEL', task.key, request_key(id), Q .. 'attempts:' .. id)
  task.gone, tasks[id] = true, false
end

local function limit_unrun(id, tenant, keep)
  local key = Q .. 'unrun:' .. tenant
  local length = call('RPUSH', key, id)
  if length == 1 then call('PEXPIRE', key, keep) else call('PEXPIRE', key, keep, 'GT') end
  if length > MAX_WHOLE then
    local old = find(call('LINDEX', key, -MAX_WHOLE - 1))
    if old and old.state.completed then shorten(old) end
  end
  if length > MAX_UNRUN then delete_task(call('LPOP', key)) end
end

-- The one way into a final status: from here on retention runs, and nothing changes the task any more.
local function finish(task, status)
  local id, terms, state = task.id, task.terms, task.state
  local keep_task, keep_index, extras = terms.keep_task, terms.keep_index, state.extras or {}
  ended[#ended + 1], has_ended[id], unnotified[#unnotified + 1] = id, true, { id, status == 'COMPLETED' }
  -- Keys and batches that lead to a task take their time too.
  cascaded = cascaded + 1 + math.floor((#(extras.keys or {}) + #(extras.batches or {})) / 100)

  state.status, state.step, state.completed = status, string.lower(status), now
  extras.waits = nil
  if status == 'CANCELLED' then shorten(task) end
  if state.lease == 0 then limit_unrun(id, terms.tenant, keep_task) end
  announce(task)

  if state.lease > 0 then keys_to_delete[#keys_to_delete + 1] = Q .. 'checkpoints:' .. id end
  if task.apart then call('PEXPIRE', request_key(id), digits[keep_task]) end
  if extras.tried then call('PEXPIRE', Q .. 'attempts:' .. id, keep_task) end
  for _, key in ipairs(extras.keys or {}) do call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
  active_changes[id], finished_changes[id] = false, now + keep_task
  finished_ttl = math.max(finished_ttl, keep_task)

  local has_chart = status == 'COMPLETED'
  index_ended(messages_of(terms), id, terms.dedup_key, keep_task, keep_index, has_chart)
  if has_chart and terms.shared ~= '' then index_chart(P .. 'message_charts:' .. terms.message .. ':' .. terms.shared, id, keep_task, keep_index) end
  for _, batch in ipairs(extras.batches or {}) do end_in_batch(batch, keep_task) end
end

-- Whether the request has the form of one. What is within is read by the worker's process, which gives back what is no JSON (see lose.lua).
local function is_request(text, from) return text and string.find(text, '^%s*{', from) and string.find(text, '}%s*$', -16) and true end

-- What is left to say of a task whose request was lost: whose it is, and of which message. As of one that is shortened, it cannot be repeated.
local function replace_request(task)
  local terms = task.terms
  local function from_word(text)
    return (string.gsub(text, '%%(%x%x)', function(code) return string.char(tonumber(code, 16)) end))
  end
  local request = cjson.encode({
    task_id = task.id, message_id = terms.message, user_id = from_word(terms.user), org_id = string.match(terms.tenant, '^org:') and from_word(string.sub(terms.tenant, 5)) or cjson.null,
    visibility = terms.shared ~= '' and 'ORGANIZATION' or 'PRIVATE', force_create = false, adjustment_query = cjson.null
  })
  task.record, task.apart = string.sub(task.record, 1, task.request - 1) .. request, false
  keys_to_delete[#keys_to_delete + 1] = request_key(task.id)
  extras_of(task.state).shortened = true
end

-- Ends a task of which a part was lost or cannot be read, and nothing else. `has_request`: false where that is the part.
local function fail_lost(task, has_request)
  local id, state = task.id, task.state
  if state.completed then return end
  flush_queues()
  local was_running = state.status == 'PROCESSING' or (lease_changes[id] ~= false and call('ZSCORE', Q .. 'processing', id))
  if was_running then
    end_lease(task, 'fail')
    call('PUBLISH', P .. 'cancelled', id)
  else
    remove_waiting(task)
  end
  if has_request == false then replace_request(task) end
  extras_of(state).code = 'CHARTS_ERR_RECORD_LOST'
  finish(task, 'FAILED')
  keys_to_delete[#keys_to_delete + 1] = Q .. 'checkpoints:' .. id
  call('PEXPIRE', Q .. 'attempts:' .. id, digits[task.terms.keep_task])
end

local function cancel_task(id)
  local task = find(id)
  local status = task and task.state.status
  if status == 'PENDING' then
    remove_waiting(task)
  elseif status == 'PROCESSING' then
    end_lease(task, 'cancel')
    call('PUBLISH', P .. 'cancelled', id)
  elseif status == 'LOST' then
    fail_lost(task)
    return true
  else
    return false
  end
  finish(task, 'CANCELLED')
  return true
end

-- A dependency that completes lets the task run; any other end is the task's end too.
local function notify_dependent(id, completed)
  local task = find(id)
  -- A Redis that evicts has lost it.
  if not task then return end
  local terms, state = task.terms, task.state
  if state.status == 'LOST' then return fail_lost(task) end
  if state.step ~= 'waiting_for_dependencies' then return end
  -- What is replaced together is cancelled together, also where one needs the other.
  if is_superseded(id, terms) then
    cancel_task(id)
  elseif not completed then
    remove_waiting(task)
    extras_of(state).code = 'CHARTS_ERR_DEPENDENCY_FAILED'
    finish(task, 'FAILED')
  else
    cascaded = cascaded + 1
    local waits = (extras_of(state).waits or 1) - 1
    extras_of(state).waits = waits > 0 and waits or nil
    change(task)
    if waits > 0 then return end
    state.step, state.at = enqueue_or_delay(id, terms)
    if state.step == 'queued' then count_scheduled(terms.tenant, -1) end
    announce(task)
    notify_workers()
  end
end

-- Tells the dependents of a task that has ended. False where some are left.
local function notify_dependents(id, completed)
  -- Clean-up has found it to be lost.
  local lost = string.sub(id, -1) == '!' and find(string.sub(id, 1, -2))
  if lost then fail_lost(lost) end
  local key = Q .. 'dependents:' .. id
  local dependents = call('ZRANGE', key, 0, math.max(0, MAX_CASCADE - cascaded))
  fetch(dependents)
  for _, dependent in ipairs(dependents) do
    if cascaded >= MAX_CASCADE then return false end
    call('ZREM', key, dependent)
    notify_dependent(dependent, completed)
  end
  return true
end

-- In rounds, not by recursion: a chain of dependents may be long. What is left is kept as 'task_id', or 'task_id+' of one that completed;
-- 'task_id!' is a task that clean-up has found to be lost.
local function notify_all_dependents()
  local left = {}
  for _, one in ipairs(unnotified) do
    local id, completed = unpack(one)
    if not notify_dependents(id, completed) then left[#left + 1] = completed and id .. '+' or id end
  end
  unnotified = {}
  if #left > 0 then call('RPUSH', Q .. 'untold', unpack(left)) end
  return #left > 0
end

-- Decides in one step that all unfinished tasks of a message are replaced, but for those that are kept; ends those that run, as far as one
-- call may.
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = first_of(index)[2]
  local staying = {}
  for id, terms in pairs(kept) do
    local score = terms and terms.message == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, terms) then staying[#staying + 1] = { id, tonumber(score), terms } end
  end
  -- What is kept becomes newer than what is replaced, in the order that it had.
  table.sort(staying, function(a, b) return a[2] > b[2] end)
  for _, one in ipairs(staying) do
    local id, score, terms = unpack(one)
    -- It is what its hash leads to, or another is.
    local leads, pointer = digits[score - FAR], call('ZSCORE', index, '=' .. terms.dedup_key)
    index_active(index, id, terms.dedup_key, first_of(index))
    if not pointer or digits[tonumber(pointer)] ~= leads then clear_answer(index, terms.dedup_key) end
  end
  call('ZADD', Q .. 'superseded', newest, owner)
  for _, id in ipairs(call('ZINTER', 2, index, Q .. 'processing', 'AGGREGATE', 'MIN')) do
    if cascaded >= MAX_CASCADE then break end
    local task = find(id)
    if task and is_superseded(id, task.terms) then cancel_task(id) end
  end
end

-- Ends what is left of a message whose older tasks were replaced. False where there is none.
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', Q .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MAX_CASCADE - cascaded
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  fetch(ids)
  for _, id in ipairs(ids) do
    -- A Redis that evicts has lost it.
    if not cancel_task(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', Q .. 'superseded', owner) end
  return true
end

-- Tells those who wait for what has ended in this call and, where `unsettled`, goes on with what earlier calls have left, as far as one
-- call may. Whether anything is left.
local function run_deferred(deferred)
  local left = notify_all_dependents()
  while deferred and cascaded < MAX_CASCADE and cancel_superseded() do notify_all_dependents() end
  while deferred and cascaded < MAX_CASCADE do
    local one = call('LPOP', Q .. 'untold')
    if not one then break end
    unnotified[1] = { string.gsub(one, '%+', ''), string.find(one, '+', 1, true) ~= nil }
    notify_all_dependents()
  end
  if not (left or deferred) then return false end
  if call('EXISTS', Q .. 'untold', Q .. 'superseded') == 0 then
    call('DEL', Q .. 'unsettled')
    return false
  end
  -- The caller goes on with it; should it die, a worker does.
  if not deferred then notify_workers() end
  call('SET', Q .. 'unsettled', 1)
  return true
end
