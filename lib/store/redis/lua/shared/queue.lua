-- Waiting tasks, in the order in which they are taken. The field '' of `waiting` and `running` counts all tenants.
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then call('HDEL', P .. key, field) end
  end
end

-- One marker is enough: whoever takes it leaves another if there is more to do. It expires so that an idle store is empty.
local function wake()
  if call('LLEN', P .. 'wake') == 0 then
    call('LPUSH', P .. 'wake', 1)
    call('PEXPIRE', P .. 'wake', 60000)
  end
end

local function queue_back(id)
  local last = tonumber(call('ZRANGE', P .. 'queue', -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', P .. 'queue', math.max(now, last + 1), id)
end

-- What has run before goes ahead of everything new, the longest waiting first.
local function queue_front(id)
  call('ZADD', P .. 'queue', now - 1e15, id)
end

-- A place that a tenant at its cap gives up goes to its own longest waiting task.
local function uncap(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if head[1] then
    call('ZADD', P .. 'queue', head[2], head[1])
    wake()
  end
end

-- The place may have been freed for this very task.
local function unqueue(id, tenant)
  for _, key in ipairs({ 'queue', 'delayed', 'capped:' .. tenant }) do call('ZREM', P .. key, id) end
  count('waiting', tenant, -1)
  uncap(tenant)
end

local function close_lease(id, tenant, verb)
  call('ZREM', P .. 'processing', id)
  call('HSET', record(id), 'closed', verb)
  count('running', tenant, -1)
  uncap(tenant)
end

-- A try that is over without a verdict: back to PENDING, its progress forgotten. `delay` in ms.
local function requeue(id, tenant, step, delay)
  call('HSET', record(id), 'status', 'PENDING', 'step', step, 'progress', 0)
  call('DEL', details(id))
  count('waiting', tenant, 1)
  if delay > 0 then
    call('ZADD', P .. 'delayed', now + delay, id)
  else
    queue_front(id)
  end
  announce(id)
  wake()
end
