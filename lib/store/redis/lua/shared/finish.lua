-- What has ended in this call, in order and by id; and those of them whose dependents have not been told yet.
local ended, has_ended, untold = {}, {}, {}
-- Tasks that one call ends or lets run because of others: Redis serves nobody else meanwhile. What is left stays in the store for the next call.
local MOST_MOVED = 25
local moved = 0

local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end

-- Bytes of a request that are kept when nobody will make a chart of it: of a longer one the params go, and an adjustment_query that is longer.
local MOST_KEPT = 1024
local function shorten(id)
  if call('STRLEN', request(id)) <= MOST_KEPT then return end
  local raw = call('GET', request(id))
  local query = string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  -- A quote within a string is escaped, so these are the names of fields. 20: the length of the first.
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MOST_KEPT then value = 'null' end
  call('SET', request(id), string.sub(raw, 1, query + 19) .. value .. '}', 'KEEPTTL')
  call('HSET', record(id), 'shortened', 1)
end

-- Tasks that have ended without an attempt are cheap to make: of a tenant so many are kept, the latest ones, and so many of them with
-- their whole requests.
local MOST_UNRUN, MOST_WHOLE = 10000, 1000

local function forget(id)
  local t = call('HMGET', record(id), 'message', 'user', 'keys', 'batches')
  if not t[1] then return end
  for key in string.gmatch(t[3], '%S+') do
    local answer = call('GET', P .. 'idempotency:' .. key)
    if answer and string.sub(answer, 1, #id) == id then call('DEL', P .. 'idempotency:' .. key) end
  end
  for batch in string.gmatch(t[4] or '', '%S+') do
    local ids, key = unpack(call('HMGET', P .. 'batch:' .. batch, 'ids', 'key'))
    if ids and call('HINCRBY', P .. 'batch:' .. batch, 'gone', 1) > select(2, string.gsub(ids, ' ', '')) then
      call('DEL', P .. 'batch:' .. batch, P .. 'idempotency:' .. key)
    end
  end
  call('ZREM', P .. 'message_tasks:' .. t[1] .. ':' .. t[2], id)
  call('ZREM', P .. 'finished', id)
  call('DEL', record(id), details(id), request(id))
end

local function keep_latest(id, tenant, keep)
  local key = P .. 'unrun:' .. tenant
  local count = call('RPUSH', key, id)
  if count == 1 then call('PEXPIRE', key, keep) else call('PEXPIRE', key, keep, 'GT') end
  if count > MOST_WHOLE then shorten(call('LINDEX', key, -MOST_WHOLE - 1)) end
  if count > MOST_UNRUN then forget(call('LPOP', key)) end
end

-- The one way into a final status: from here on retention runs, and nothing changes the task any more.
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches', 'lease', 'tenant')
  local message, user, shared, same, keep, keys, batches, lease, tenant = unpack(t)
  ended[#ended + 1], has_ended[id], untold[#untold + 1] = id, true, { id, status == 'COMPLETED' }
  -- Keys and batches that lead to a task take their time too.
  moved = moved + 1 + math.floor((#keys + 4 * #(batches or '')) / 4000)
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]

  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
  if status == 'CANCELLED' then shorten(id) end
  if lease == '0' then keep_latest(id, tenant, keep_task) end
  local steps = announce(id)

  call('PEXPIRE', record(id), keep_task)
  call('DEL', checkpoints(id))
  call('PEXPIRE', request(id), keep_task)
  if #steps > 0 then call('PEXPIRE', details(id), keep_details) end
  for key in string.gmatch(keys, '%S+') do call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
  call('ZREM', P .. 'active', id)
  call('ZADD', P .. 'finished', now + keep_task, id)
  if call('PTTL', P .. 'finished') < keep_task then call('PEXPIRE', P .. 'finished', keep_task) end

  index_finished(P .. 'message_tasks:' .. message .. ':' .. user, id, keep_task, keep_index)
  if status == 'COMPLETED' then
    -- The newest chart answers for all that were asked for alike.
    call('ZREMRANGEBYSCORE', P .. 'same:' .. same, 0, '+inf')
    index_finished(P .. 'same:' .. same, id, keep_task, keep_task)
    if shared ~= '' then index_finished(P .. 'message_charts:' .. message .. ':' .. shared, id, keep_task, keep_index) end
  else
    call('ZREM', P .. 'same:' .. same, id)
    index_expire(P .. 'same:' .. same, keep_task)
  end
  for batch in string.gmatch(batches or '', '%S+') do
    if call('HINCRBY', P .. 'batch:' .. batch, 'left', -1) <= 0 then
      call('PEXPIRE', P .. 'batch:' .. batch, keep_task)
      local key = call('HGET', P .. 'batch:' .. batch, 'key')
      if key and key ~= '' then call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
    end
  end
end

local function put_cancelled(id)
  local t = call('HMGET', record(id), 'status', 'tenant')
  if t[1] == 'PENDING' then
    unqueue(id, t[2])
  elseif t[1] == 'PROCESSING' then
    close_lease(id, t[2], 'cancel')
    call('PUBLISH', P .. 'cancelled', id)
  else
    return false
  end
  put_final(id, 'CANCELLED', {})
  return true
end

-- A dependency that completes lets the task run; any other end is the task's end too.
local function tell_one(id, completed)
  local t = call('HMGET', record(id), 'tenant', 'priority', 'run_at', 'patience', 'weight', 'message', 'user')
  -- A Redis that evicts has lost it.
  if not t[1] then return end
  -- What is replaced together is cancelled together, also where one needs the other.
  if is_superseded(id, t[6], t[7]) then
    put_cancelled(id)
  elseif not completed then
    unqueue(id, t[1])
    put_final(id, 'FAILED', { 'code', 'CHARTS_ERR_DEPENDENCY_FAILED' })
  else
    moved = moved + 1
    if call('HINCRBY', record(id), 'left', -1) > 0 then return end
    local step, at = admit(id, t[1], t[2], tonumber(t[3]) or 0, tonumber(t[4] or nil), tonumber(t[5] or nil))
    if step == 'queued' then set_aside(t[1], -1) end
    call('HSET', record(id), 'step', step, 'at', at)
    announce(id)
    wake()
  end
end

-- Tells the dependents of a task that has ended. False where some are left.
local function tell(id, completed)
  local key = P .. 'dependents:' .. id
  for _, dependent in ipairs(call('ZRANGE', key, 0, math.max(0, MOST_MOVED - moved))) do
    if moved >= MOST_MOVED then return false end
    call('ZREM', key, dependent)
    tell_one(dependent, completed)
  end
  return true
end

-- In rounds, not by recursion: a chain of dependents may be long. What is left is kept as 'task_id', or 'task_id+' of one that completed.
local function tell_all()
  local left = {}
  for _, one in ipairs(untold) do
    local id, completed = unpack(one)
    if not tell(id, completed) then left[#left + 1] = completed and id .. '+' or id end
  end
  untold = {}
  if #left > 0 then call('RPUSH', P .. 'untold', unpack(left)) end
  return #left > 0
end

-- Decides in one step that all unfinished tasks of a message are replaced, but for those that are kept; ends those that run, as far as one
-- call may.
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  local staying = {}
  for id, of in pairs(kept) do
    local score = of == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, message, string.sub(owner, 38)) then staying[#staying + 1] = { id, tonumber(score) } end
  end
  -- What is kept becomes newer than what is replaced, in the order that it had.
  table.sort(staying, function(a, b) return a[2] > b[2] end)
  for _, one in ipairs(staying) do
    index_active(index, one[1])
    index_active(P .. 'same:' .. call('HGET', record(one[1]), 'same'), one[1])
  end
  call('ZADD', P .. 'superseded', newest, owner)
  for _, id in ipairs(call('ZINTER', 2, index, P .. 'processing', 'AGGREGATE', 'MIN')) do
    if moved >= MOST_MOVED then break end
    if is_superseded(id, message, string.sub(owner, 38)) then put_cancelled(id) end
  end
end

-- Ends what is left of a message whose older tasks were replaced. False where there is none.
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', P .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MOST_MOVED - moved
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    -- A Redis that evicts has lost it.
    if not put_cancelled(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', P .. 'superseded', owner) end
  return true
end

-- Tells those who wait for what has ended in this call and, where `unsettled`, goes on with what earlier calls have left, as far as one
-- call may. Whether anything is left.
local function settle(unsettled)
  local left = tell_all()
  while unsettled and moved < MOST_MOVED and cancel_superseded() do tell_all() end
  while unsettled and moved < MOST_MOVED do
    local one = call('LPOP', P .. 'untold')
    if not one then break end
    untold[1] = { string.gsub(one, '%+', ''), string.find(one, '+', 1, true) ~= nil }
    tell_all()
  end
  if not (left or unsettled) then return false end
  if call('EXISTS', P .. 'untold', P .. 'superseded') == 0 then
    call('DEL', P .. 'unsettled')
    return false
  end
  -- The caller goes on with it; should it die, a worker does.
  if not unsettled then wake() end
  call('SET', P .. 'unsettled', 1)
  return true
end
