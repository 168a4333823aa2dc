-- Collects what has expired, then hands out up to `wanted` tasks, each with a lease of its own.
-- Returns { taken, what ended meanwhile but for `own`, ms until something is due or -1 }.
local function expire()
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'processing', '-inf', now, 'LIMIT', 0, 100)) do
    local t = call('HMGET', record(id), 'attempt', 'max', 'tenant')
    close_lease(id, t[3], 'expire')
    if tonumber(t[1]) < tonumber(t[2]) then
      requeue(id, t[3], 'queued', 0)
    else
      finish(id, 'FAILED', { 'code', 'CHARTS_ERR_WORKER_LOST' })
    end
  end
end

local function promote()
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, 100)) do
    call('ZREM', P .. 'delayed', id)
    local t = call('HMGET', record(id), 'step', 'tenant', 'priority')
    if t[1] == 'scheduled' then
      call('HSET', record(id), 'step', 'queued')
      queue_back(id, t[2], t[3])
      announce(id)
    else
      queue_front(id)
    end
  end
end

local function next_due()
  local due = -1
  for _, key in ipairs({ 'processing', 'delayed' }) do
    local head = tonumber(call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2])
    if head and (due < 0 or head - now < due) then due = math.max(0, head - now) end
  end
  return due
end

local function start(id, tenant, take_id, lease_duration)
  count('waiting', tenant, -1)
  count('running', tenant, 1)
  call('ZADD', P .. 'processing', now + lease_duration, id)
  call('HSETNX', record(id), 'started', now)
  call('HSET', record(id), 'status', 'PROCESSING', 'step', 'started', 'take', take_id, 'closed', '')
  call('HINCRBY', record(id), 'attempt', 1)
  call('HINCRBY', record(id), 'lease', 1)
  announce(id)
end

-- What its earlier tries have reached comes with a task; a first one has none.
local function handed(id)
  local known = read(id)
  if tonumber(call('HGET', record(id), 'lease')) > 1 then known[5] = call('HGETALL', checkpoints(id)) end
  return known
end

local function take(own, worker, take_id, wanted, lease_duration, running_per_tenant)
  local taken = {}
  -- The reply to this very take may have been lost: the same tasks again, not more of them, and the same ends.
  local before = call('GET', P .. 'take:' .. worker)
  if before and string.sub(before, 1, #take_id + 1) == take_id .. ' ' then
    local again, gone = string.match(string.sub(before, #take_id + 2), '([^;]*);(.*)')
    for id in string.gmatch(again, '%S+') do
      local t = call('HMGET', record(id), 'status', 'take')
      if t[1] == 'PROCESSING' and t[2] == take_id then taken[#taken + 1] = handed(id) end
    end
    for id in string.gmatch(gone, '%S+') do
      if not own[id] then ended[#ended + 1] = id end
    end
    return { taken, others(own), next_due() }
  end

  expire()
  promote()
  local ids = {}
  while #taken < wanted do
    local id, at, score = pop()
    if not id then break end
    local tenant = call('HGET', record(id), 'tenant')
    if running_per_tenant > 0 and tonumber(call('HGET', P .. 'running', tenant) or 0) >= running_per_tenant then
      park(id, tenant, at, score)
    else
      start(id, tenant, take_id, lease_duration)
      taken[#taken + 1] = handed(id)
      ids[#ids + 1] = id
    end
  end
  if #taken + #ended > 0 and worker ~= '' then
    call('SET', P .. 'take:' .. worker, take_id .. ' ' .. table.concat(ids, ' ') .. ';' .. table.concat(ended, ' '), 'PX', lease_duration)
  end
  if any_queued() then wake() end
  return { taken, others(own), next_due() }
end
