-- Collects what has expired, then hands out up to `wanted` tasks, each with a lease of its own.
-- Returns { taken, what ended meanwhile but for `own`, ms until something is due or -1, now, 1 if more is to be settled,
--   { task_id, attempt, worker } of leases that expired }.
-- Of what is due, and of what is handed out, so much at once: Redis serves nobody else meanwhile.
local MOST_DUE, MOST_HANDED = 25, 500
-- ms until a worker goes on with what earlier calls have left. Their caller does so at once: this is for one that has died.
local SETTLE_IN = 100
local collected = 0
local function due_in(key, time)
  local ids = call('ZRANGEBYSCORE', P .. key, '-inf', time, 'LIMIT', 0, MOST_DUE - collected)
  collected = collected + #ids
  return ids
end

local function is_replaced(id)
  local message, user = unpack(call('HMGET', record(id), 'message', 'user'))
  return message and is_superseded(id, message, user)
end

-- How often in a row its worker was lost, the last of these workers, and 1 if the attempt must have its worker for itself: what ends
-- its process must not take others along for ever. One loss is mostly the machine's: only after two, or before the last attempt, is the
-- task suspected. An attempt that ends with an error clears it; one that was handed back says nothing. Nil where none was lost.
local function lost_workers(id, attempt)
  local history, max = unpack(call('HMGET', record(id), 'history', 'max'))
  if not history or not string.find(history, '"expire"', 1, true) then return end
  local tries, times, worker = cjson.decode(history), 0, nil
  for i = #tries, 1, -1 do
    local verb = tries[i][6]
    if verb == 'expire' then
      times, worker = times + 1, worker or tries[i][3]
    elseif verb ~= 'release' then
      break
    end
  end
  if times > 0 then return { worker, times, (times > 1 or attempt >= tonumber(max)) and 1 or 0 } end
end

-- Whether a worker still held the attempt back when its lease expired: it waited until the others of the worker had ended.
local function was_held(trace)
  local steps = cjson.decode(trace or '[]')
  return #steps == 1 and steps[1][1] == 'queued'
end

local expired = {}
local function expire(cap, unsettled)
  for _, id in ipairs(due_in('processing', ended_by)) do
    local attempt, max, tenant, worker, trace = unpack(call('HMGET', record(id), 'attempt', 'max', 'tenant', 'worker', 'trace'))
    if not tenant then
      -- A Redis that evicts has lost it.
      call('ZREM', P .. 'processing', id)
    elseif unsettled and is_replaced(id) then
      put_cancelled(id)
    elseif was_held(trace) then
      close_lease(id, tenant, 'release', cap)
      requeue(id, tenant, 'queued', 0, 'release')
    else
      expired[#expired + 1] = { id, tonumber(attempt), worker or '' }
      close_lease(id, tenant, 'expire', cap)
      if tonumber(attempt) < tonumber(max) then
        requeue(id, tenant, 'queued', 0, 'expire')
      else
        put_final(id, 'FAILED', { 'code', 'CHARTS_ERR_WORKER_LOST' })
      end
    end
  end
  for _, id in ipairs(due_in('deadlines', ended_by)) do
    call('ZREM', P .. 'deadlines', id)
    -- A version of the package that knows no deadlines may have taken or ended it.
    local t = call('HMGET', record(id), 'status', 'lease', 'tenant')
    if t[1] == 'PENDING' and t[2] == '0' then
      if unsettled and is_replaced(id) then
        put_cancelled(id)
      else
        unqueue(id, t[3])
        put_final(id, 'FAILED', { 'code', 'CHARTS_ERR_QUEUE_TIMEOUT' })
      end
    end
  end
end

local function promote()
  for _, id in ipairs(due_in('delayed', now)) do
    call('ZREM', P .. 'delayed', id)
    local t = call('HMGET', record(id), 'step', 'tenant', 'priority', 'patience', 'weight')
    if t[1] == 'scheduled' then
      set_aside(t[2], -1)
      call('HSET', record(id), 'step', 'queued', 'at', now)
      queue_back(id, t[2], t[3], tonumber(t[4] or nil), tonumber(t[5] or nil))
      announce(id)
    else
      set_aside(nil, -1)
      queue_front(id)
    end
  end
end

local function next_due(unsettled)
  local due = unsettled and SETTLE_IN or -1
  for _, key in ipairs({ 'processing', 'delayed', 'deadlines' }) do
    local head = tonumber(call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2])
    local left = head and math.max(0, head - (key == 'delayed' and now or ended_by))
    if left and (due < 0 or left < due) then due = left end
  end
  return due
end

-- Bytes of requests and checkpoints after which a take hands out no more: what is left over wakes the next.
local MOST_TAKEN = 4 * 2 ^ 20

-- What its earlier tries have reached comes with a task, and whether they lost their workers; a first one has none, and only its
-- request is large. Returns its bytes, too.
local function handed(known, lease, lost)
  if lease == 1 then return known, #(known[4] or '') end
  known[6], known[7] = call('HGETALL', checkpoints(known[1])), lost
  return known, weigh(known)
end

-- All that a take changes in one write, and told as it was written: to read it back would cost as much again.
-- `step`: 'started', or 'queued' where the worker must wait for others of its own to end. Returns the record, and the lease.
local function start(id, t, worker, take_id, lease_duration, step)
  local tenant, attempt, lease, version, started = t[1], t[2] + 1, t[3] + 1, t[4] + 1, t[5] or now
  count('waiting', tenant, -1)
  count('running', tenant, 1)
  if t[6] then call('ZREM', P .. 'deadlines', id) end
  call('ZADD', P .. 'processing', now + lease_duration, id)
  call('HSET', record(id), 'status', 'PROCESSING', 'step', step, 'at', now, 'started', started, 'attempt', attempt, 'lease', lease,
    'version', version, 'worker', worker, 'take', take_id, 'closed', '', 'trace', '[["' .. step .. '",' .. now .. ',0]]')
  publish(id, { version, 'PROCESSING', 0, step, attempt, started, false, false, false, false, now, 0, false }, {})
  return { id, call('HGETALL', record(id)), {}, call('GET', request(id)), false }, lease
end

-- One that was replaced is not started but ended: as if it had never been popped.
local function end_replaced(id, at, score)
  if not is_replaced(id) then return false end
  local name = QUEUES[at]
  call('ZADD', queue(name), score, id)
  if STRIDE[name] then call('HINCRBY', P .. 'shares', name, -STRIDE[name]) end
  return put_cancelled(id)
end

local function record_to_start(id) return call('HMGET', record(id), 'tenant', 'attempt', 'lease', 'version', 'started', 'patience') end

-- What this worker took last, whether the queue is paused, and whether earlier calls have left something to settle.
local function notes_for(worker) return call('MGET', P .. 'take:' .. worker, P .. 'paused', P .. 'unsettled') end

-- `beside`: attempts that go on in the worker meanwhile.
local function take(own, worker, take_id, wanted, lease_duration, running_per_tenant, beside, notes)
  local taken = {}
  -- The reply to this very take may have been lost: the same tasks again, not more of them, and the same ends.
  local before, paused, unsettled = unpack(notes)
  if before and string.sub(before, 1, #take_id + 1) == take_id .. ' ' then
    local again, gone, lost = string.match(string.sub(before, #take_id + 2), '([^;]*);([^;]*);?(.*)')
    for id in string.gmatch(again, '%S+') do
      local t = call('HMGET', record(id), 'status', 'take', 'lease', 'attempt')
      if t[1] == 'PROCESSING' and t[2] == take_id then
        local lease = tonumber(t[3])
        taken[#taken + 1] = (handed(read(id), lease, lease > 1 and lost_workers(id, tonumber(t[4])) or nil))
      end
    end
    for id in string.gmatch(gone, '%S+') do
      if not own[id] then ended[#ended + 1] = id end
    end
    unsettled = settle(false) or unsettled
    return { taken, others(own), next_due(unsettled), tostring(now), unsettled and 1 or 0, lost ~= '' and cjson.decode(lost) or {} }
  end

  expire(running_per_tenant, unsettled)
  promote()
  unsettled = settle(unsettled)
  local ids, aside, bytes = {}, 0, 0
  wanted = math.min(wanted, MOST_HANDED)
  while #taken < wanted and aside < MOST_ASIDE and moved < 2 * MOST_MOVED and bytes < MOST_TAKEN and not paused do
    local id, at, score = pop()
    if not id then break end
    local t = record_to_start(id)
    local tenant, capped = t[1], running_per_tenant > 0
    if not tenant then
      -- A Redis that evicts has lost it.
      aside = aside + 1
    elseif unsettled and end_replaced(id, at, score) then
      aside = aside + 1
    elseif capped and tonumber(call('HGET', P .. 'running', tenant) or 0) >= running_per_tenant then
      park(id, tenant, at, score)
      aside = aside + 1
    else
      -- What has run before goes first all the same.
      local other = capped and at > 1 and preferred(tenant)
      if other and not (unsettled and is_replaced(other) and put_cancelled(other)) then
        park(id, tenant, at, score)
        id, t = other, record_to_start(other)
      end
      local lost = tonumber(t[3]) > 0 and lost_workers(id, t[2] + 1) or nil
      local alone = lost and lost[3] == 1
      local known, lease = start(id, t, worker, take_id, lease_duration, alone and beside + #taken > 0 and 'queued' or 'started')
      local size
      known, size = handed(known, lease, lost)
      taken[#taken + 1], bytes = known, bytes + size
      ids[#ids + 1] = id
      if alone then break end
    end
  end
  if #untold > 0 then unsettled = settle(unsettled) end
  if #taken + #ended + #expired > 0 then
    local lost = #expired > 0 and cjson.encode(expired) or ''
    call('SET', P .. 'take:' .. worker, take_id .. ' ' .. table.concat(ids, ' ') .. ';' .. table.concat(ended, ' ') .. ';' .. lost, 'PX', lease_duration)
  end
  -- A paused queue must not wake those who would find nothing.
  if not paused and any_queued() then wake() end
  return { taken, others(own), next_due(unsettled), tostring(now), unsettled and 1 or 0, expired }
end
