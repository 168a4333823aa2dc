-- What has ended in this call, in order and by id; and those of them whose dependents have not been told yet.
local ended, has_ended, untold = {}, {}, {}
-- Tasks that one call ends or lets run because of others: Redis serves nobody else meanwhile. What is left stays in the store for the next call.
local MAX_MOVED = RULES.MAX_MOVED
local moved = 0

-- After commit: what has ended, but for `own`.
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = shown(id) or nil end
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
  doomed[#doomed + 1] = request_key(task.id)
  rare(task.state).shortened = true
  change(task)
end

-- Tasks that have ended without an attempt are cheap to make: of a tenant so many are kept, the latest ones, and so many of them with
-- their whole requests.
local MAX_UNRUN, MAX_WHOLE = RULES.MAX_UNRUN, RULES.MAX_WHOLE

local function forget(id)
  local task = find(id)
  if not task then return end
  local asked, state = task.asked, task.state
  for _, key in ipairs(rare(state).keys or {}) do
    local answer = call('GET', Q .. 'idempotency:' .. key)
    if answer and string.sub(answer, 1, #id) == id then call('DEL', Q .. 'idempotency:' .. key) end
  end
  for _, batch in ipairs(rare(state).batches or {}) do
    local ids, key = unpack(call('HMGET', Q .. 'batch:' .. batch, 'ids', 'key'))
    if ids and call('HINCRBY', Q .. 'batch:' .. batch, 'gone', 1) > select(2, string.gsub(ids, ' ', '')) then
      call('DEL', Q .. 'batch:' .. batch, Q .. 'idempotency:' .. (key or ''))
    end
  end
  index_forget(messages_of(asked), id, asked.same)
  call('ZREM', Q .. 'finished', id)
  call('DEL', task.key, request_key(id), Q .. 'attempts:' .. id)
  task.gone, tasks[id] = true, false
end

local function keep_latest(id, tenant, keep)
  local key = Q .. 'unrun:' .. tenant
  local length = call('RPUSH', key, id)
  if length == 1 then call('PEXPIRE', key, keep) else call('PEXPIRE', key, keep, 'GT') end
  if length > MAX_WHOLE then
    local old = find(call('LINDEX', key, -MAX_WHOLE - 1))
    if old and old.state.completed then shorten(old) end
  end
  if length > MAX_UNRUN then forget(call('LPOP', key)) end
end

-- The one way into a final status: from here on retention runs, and nothing changes the task any more.
local function put_final(task, status)
  local id, asked, state = task.id, task.asked, task.state
  local keep_task, keep_index, few = asked.keep_task, asked.keep_index, state.rare or {}
  ended[#ended + 1], has_ended[id], untold[#untold + 1] = id, true, { id, status == 'COMPLETED' }
  -- Keys and batches that lead to a task take their time too.
  moved = moved + 1 + math.floor((#(few.keys or {}) + #(few.batches or {})) / 100)

  state.status, state.step, state.completed = status, string.lower(status), now
  few.waits = nil
  if status == 'CANCELLED' then shorten(task) end
  if state.lease == 0 then keep_latest(id, asked.tenant, keep_task) end
  announce(task)

  if state.lease > 0 then doomed[#doomed + 1] = Q .. 'checkpoints:' .. id end
  if task.apart then call('PEXPIRE', request_key(id), digits[keep_task]) end
  if few.tried then call('PEXPIRE', Q .. 'attempts:' .. id, keep_task) end
  for _, key in ipairs(few.keys or {}) do call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
  listed[id], finished[id] = false, now + keep_task
  finished_keep = math.max(finished_keep, keep_task)

  local has_chart = status == 'COMPLETED'
  index_ended(messages_of(asked), id, asked.same, keep_task, keep_index, has_chart)
  if has_chart and asked.shared ~= '' then index_chart(P .. 'message_charts:' .. asked.message .. ':' .. asked.shared, id, keep_task, keep_index) end
  for _, batch in ipairs(few.batches or {}) do end_in_batch(batch, keep_task) end
end

-- Whether the request has the form of one. What is within is read by the worker's process, which gives back what is no JSON (see lose.lua).
local function is_request(text, from) return text and string.find(text, '^%s*{', from) and string.find(text, '}%s*$', -16) and true end

-- What is left to say of a task whose request was lost: whose it is, and of which message. As of one that is shortened, it cannot be repeated.
local function replace_request(task)
  local asked = task.asked
  local function from_word(text)
    return (string.gsub(text, '%%(%x%x)', function(code) return string.char(tonumber(code, 16)) end))
  end
  local request = cjson.encode({
    task_id = task.id, message_id = asked.message, user_id = from_word(asked.user), org_id = string.match(asked.tenant, '^org:') and from_word(string.sub(asked.tenant, 5)) or cjson.null,
    visibility = asked.shared ~= '' and 'ORGANIZATION' or 'PRIVATE', force_create = false, adjustment_query = cjson.null
  })
  task.record, task.apart = string.sub(task.record, 1, task.request - 1) .. request, false
  doomed[#doomed + 1] = request_key(task.id)
  rare(task.state).shortened = true
end

-- Ends a task of which a part was lost or cannot be read, and nothing else. `has_request`: false where that is the part.
local function put_lost(task, has_request)
  local id, state = task.id, task.state
  if state.completed then return end
  settle_queues()
  local was_running = state.status == 'PROCESSING' or (leases[id] ~= false and call('ZSCORE', Q .. 'processing', id))
  if was_running then
    close_lease(task, 'fail')
    call('PUBLISH', P .. 'cancelled', id)
  else
    unqueue(task)
  end
  if has_request == false then replace_request(task) end
  rare(state).code = 'CHARTS_ERR_RECORD_LOST'
  put_final(task, 'FAILED')
  doomed[#doomed + 1] = Q .. 'checkpoints:' .. id
  call('PEXPIRE', Q .. 'attempts:' .. id, digits[task.asked.keep_task])
end

local function put_cancelled(id)
  local task = find(id)
  local status = task and task.state.status
  if status == 'PENDING' then
    unqueue(task)
  elseif status == 'PROCESSING' then
    close_lease(task, 'cancel')
    call('PUBLISH', P .. 'cancelled', id)
  elseif status == 'LOST' then
    put_lost(task)
    return true
  else
    return false
  end
  put_final(task, 'CANCELLED')
  return true
end

-- A dependency that completes lets the task run; any other end is the task's end too.
local function tell_one(id, completed)
  local task = find(id)
  -- A Redis that evicts has lost it.
  if not task then return end
  local asked, state = task.asked, task.state
  if state.status == 'LOST' then return put_lost(task) end
  if state.step ~= 'waiting_for_dependencies' then return end
  -- What is replaced together is cancelled together, also where one needs the other.
  if is_superseded(id, asked) then
    put_cancelled(id)
  elseif not completed then
    unqueue(task)
    rare(state).code = 'CHARTS_ERR_DEPENDENCY_FAILED'
    put_final(task, 'FAILED')
  else
    moved = moved + 1
    local waits = (rare(state).waits or 1) - 1
    rare(state).waits = waits > 0 and waits or nil
    change(task)
    if waits > 0 then return end
    state.step, state.at = admit(id, asked)
    if state.step == 'queued' then set_aside(asked.tenant, -1) end
    announce(task)
    wake()
  end
end

-- Tells the dependents of a task that has ended. False where some are left.
local function tell(id, completed)
  -- Clean-up has found it to be lost.
  local lost = string.sub(id, -1) == '!' and find(string.sub(id, 1, -2))
  if lost then put_lost(lost) end
  local key = Q .. 'dependents:' .. id
  local dependents = call('ZRANGE', key, 0, math.max(0, MAX_MOVED - moved))
  fetch(dependents)
  for _, dependent in ipairs(dependents) do
    if moved >= MAX_MOVED then return false end
    call('ZREM', key, dependent)
    tell_one(dependent, completed)
  end
  return true
end

-- In rounds, not by recursion: a chain of dependents may be long. What is left is kept as 'task_id', or 'task_id+' of one that completed;
-- 'task_id!' is a task that clean-up has found to be lost.
local function tell_all()
  local left = {}
  for _, one in ipairs(untold) do
    local id, completed = unpack(one)
    if not tell(id, completed) then left[#left + 1] = completed and id .. '+' or id end
  end
  untold = {}
  if #left > 0 then call('RPUSH', Q .. 'untold', unpack(left)) end
  return #left > 0
end

-- Decides in one step that all unfinished tasks of a message are replaced, but for those that are kept; ends those that run, as far as one
-- call may.
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = first_of(index)[2]
  local staying = {}
  for id, asked in pairs(kept) do
    local score = asked and asked.message == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, asked) then staying[#staying + 1] = { id, tonumber(score), asked } end
  end
  -- What is kept becomes newer than what is replaced, in the order that it had.
  table.sort(staying, function(a, b) return a[2] > b[2] end)
  for _, one in ipairs(staying) do
    local id, score, asked = unpack(one)
    -- It is what its hash leads to, or another is.
    local leads, pointer = digits[score - FAR], call('ZSCORE', index, '=' .. asked.same)
    index_active(index, id, asked.same, first_of(index))
    if not pointer or digits[tonumber(pointer)] ~= leads then leave_open(index, asked.same) end
  end
  call('ZADD', Q .. 'superseded', newest, owner)
  for _, id in ipairs(call('ZINTER', 2, index, Q .. 'processing', 'AGGREGATE', 'MIN')) do
    if moved >= MAX_MOVED then break end
    local task = find(id)
    if task and is_superseded(id, task.asked) then put_cancelled(id) end
  end
end

-- Ends what is left of a message whose older tasks were replaced. False where there is none.
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', Q .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MAX_MOVED - moved
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  fetch(ids)
  for _, id in ipairs(ids) do
    -- A Redis that evicts has lost it.
    if not put_cancelled(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', Q .. 'superseded', owner) end
  return true
end

-- Tells those who wait for what has ended in this call and, where `unsettled`, goes on with what earlier calls have left, as far as one
-- call may. Whether anything is left.
local function settle(unsettled)
  local left = tell_all()
  while unsettled and moved < MAX_MOVED and cancel_superseded() do tell_all() end
  while unsettled and moved < MAX_MOVED do
    local one = call('LPOP', Q .. 'untold')
    if not one then break end
    untold[1] = { string.gsub(one, '%+', ''), string.find(one, '+', 1, true) ~= nil }
    tell_all()
  end
  if not (left or unsettled) then return false end
  if call('EXISTS', Q .. 'untold', Q .. 'superseded') == 0 then
    call('DEL', Q .. 'unsettled')
    return false
  end
  -- The caller goes on with it; should it die, a worker does.
  if not unsettled then wake() end
  call('SET', Q .. 'unsettled', 1)
  return true
end
