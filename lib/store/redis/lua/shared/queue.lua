-- Waiting tasks come. Within a priority the tenants take turns (start-time fair queueing: Goyal, Vin and Cheng, 1996).
local RANK = 2 ^ 44
-- The length of a round: a tenant of weight 3 has three turns in it, one of weight 1 has one.
local ROUND = 60

-- The field '' counts all tenants. A tenant that waits no more has no turn to remember.
local function count(key, tenant, by)
  if call('HINCRBY', P .. key, tenant, by) <= 0 then
    call('HDEL', P .. key, tenant)
    for _, priority in ipairs(key == 'waiting' and PRIORITIES or {}) do call('HDEL', P .. 'turns:' .. priority, tenant, '+' .. tenant, '=' .. tenant) end
  end
  if call('HINCRBY', P .. key, '', by) <= 0 then
    call('DEL', P .. key)
    if key == 'waiting' then call('DEL', P .. 'shares', P .. 'scheduled') end
  end
end

-- Whether a PENDING task waits for a time or for other tasks.
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end

-- Of the waiting tasks, those that could not run now: they wait for a time or for other tasks. The field '' counts all, and also
-- those that wait for another attempt: to their tenant these count as waiting.
local function set_aside(tenant, by)
  local aside = tenant and call('HINCRBY', P .. 'scheduled', tenant, by)
  if aside and aside <= 0 then call('HDEL', P .. 'scheduled', tenant) end
  -- The version before counts nothing here, and may have put this one aside.
  if aside and aside < 0 then return end
  if call('HINCRBY', P .. 'scheduled', '', by) <= 0 then call('HDEL', P .. 'scheduled', '') end
end

-- One marker is enough: whoever takes it leaves another if there is more to do. It expires so that an idle store is empty.
local function wake()
  if call('LLEN', P .. 'wake') == 0 then
    call('LPUSH', P .. 'wake', 1)
    call('PEXPIRE', P .. 'wake', 60000)
  end
end

-- Its first turn comes when its share is due, not at once: whatever is higher goes before.
local function enter(priority, id, score)
  call('ZADD', queue(priority), score, id)
  if STRIDE[priority] and call('ZCARD', queue(priority)) == 1 then
    call('HSET', P .. 'shares', priority, tonumber(call('HGET', P .. 'shares', 'clock') or 0) + STRIDE[priority])
  end
end

-- A tenant's next turn comes a round (by its weight) after its last, or after the turn that is being served: who queues much waits
-- for itself. `patience`: ms that it waits for its first try, nil = for ever; `weight`: nil = 1.
local function queue_back(id, tenant, priority, patience, weight)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local length = math.floor(ROUND / (weight or 1))
  local turn = call('HINCRBY', P .. 'turns:' .. priority, tenant, length)
  if turn < round + length then
    turn = round + length
    call('HSET', P .. 'turns:' .. priority, tenant, turn)
  end
  -- First come, first served within a round.
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
  if patience then call('ZADD', P .. 'deadlines', now + patience, id) end
end

-- Into the queue, or aside until its time (ms since the epoch) has come. Returns what kind of waiting that is, and since or until when.
local function admit(id, tenant, priority, run_at, patience, weight)
  if run_at > now then
    call('ZADD', P .. 'delayed', run_at, id)
    return 'scheduled', run_at
  end
  queue_back(id, tenant, priority, patience, weight)
  return 'queued', now
end
