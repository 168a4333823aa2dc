-- What has ended in this call, in order and by id; and those of them whose dependents have not been told yet.
local ended, has_ended, untold = {}, {}, {}

local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end

-- The one way into a final status: from here on retention runs, and nothing changes the task any more.
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches')
  local message, user, shared, same, keep, keys, batches = unpack(t)
  ended[#ended + 1], has_ended[id], untold[#untold + 1] = id, true, id
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]

  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
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

-- A dependency that completes lets the task run; any other end is the task's end too.
local function tell(id)
  local dependents = call('ZRANGE', P .. 'dependents:' .. id, 0, -1)
  if #dependents == 0 then return end
  call('DEL', P .. 'dependents:' .. id)
  local completed = call('HGET', record(id), 'status') == 'COMPLETED'
  for _, dependent in ipairs(dependents) do
    local t = call('HMGET', record(dependent), 'tenant', 'priority', 'run_at', 'patience', 'weight')
    if not completed then
      unqueue(dependent, t[1])
      put_final(dependent, 'FAILED', { 'code', 'CHARTS_ERR_DEPENDENCY_FAILED' })
    elseif call('HINCRBY', record(dependent), 'left', -1) == 0 then
      local step, at = admit(dependent, t[1], t[2], tonumber(t[3]) or 0, tonumber(t[4] or nil), tonumber(t[5] or nil))
      call('HSET', record(dependent), 'step', step, 'at', at)
      announce(dependent)
      wake()
    end
  end
end

-- In rounds, not by recursion: a chain of dependents may be long.
local function tell_all()
  while #untold > 0 do tell(table.remove(untold)) end
end

local function finish(id, status, fields)
  put_final(id, status, fields)
  tell_all()
end

-- Ends what has not ended; false where it has. A worker that runs it is told so, its dependents are not yet.
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

local function cancel(id)
  local cancelled = put_cancelled(id)
  tell_all()
  return cancelled
end
