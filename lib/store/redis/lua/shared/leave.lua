-- Waiting tasks are taken, put aside, brought back and taken out; what runs comes back. After queue.lua.
-- Tries that are remembered of one task.
local MOST_TRIES = 20
-- Of what is aside, so much is dealt with in one call: Redis serves nobody else meanwhile.
local MOST_ASIDE = 100
local unparked = 0

local function queue_front(id)
  enter('again', id, now)
end

-- The next task, its queue and its score.
local function pop()
  local head = call('ZPOPMIN', queue('again'))
  if head[1] then return head[1], 1, head[2] end
  local shares = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local best, due
  for i, priority in ipairs(PRIORITIES) do
    local share = tonumber(shares[i])
    if share and (not due or share < due) and call('EXISTS', queue(priority)) == 1 then best, due = i, share end
  end
  if not best then return end
  local priority = PRIORITIES[best]
  head = call('ZPOPMIN', queue(priority))
  call('HSET', P .. 'shares', 'clock', due, priority, due + STRIDE[priority], 'round:' .. priority, math.floor(head[2]))
  return head[1], best + 1, head[2]
end

local function any_queued()
  return call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) > 0
end

-- A tenant at its cap waits aside, in its own order.
local function park(id, tenant, at, score)
  call('ZADD', P .. 'capped:' .. tenant, string.format('%.0f', at * RANK + math.floor(score)), id)
end

-- By its shares again, lest a tenant's high tasks starve its low ones: the field '+tenant' counts how often it was asked, and
-- '=tenant' names a lower task that has the place, whatever else of the tenant's comes first in the queue.
local function next_parked(key, tenant)
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not head[1] or tonumber(head[2]) < 2 * RANK then return head end
  local asked = call('HINCRBY', P .. 'turns:low', '+' .. tenant, 1) % 21
  if asked % 5 > 0 then return head end
  local at = asked == 0 and 4 or 3
  local lower = call('ZRANGEBYSCORE', key, at * RANK, string.format('(%.0f', (at + 1) * RANK), 'WITHSCORES', 'LIMIT', 0, 1)
  if not lower[1] then return head end
  call('HSET', P .. 'turns:low', '=' .. tenant, lower[1])
  return lower
end

-- The task that has the place for which another of its tenant's was taken.
local function preferred(tenant)
  local id = call('HGET', P .. 'turns:low', '=' .. tenant)
  if not id then return end
  call('HDEL', P .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end

-- A place that a tenant at its cap gives up goes to its own next task, with the turn that it had: it has come already.
-- `cap`: that of the worker that asks, nil where there is none.
local function unpark(tenant, cap)
  local key = P .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  -- A cap that was raised or lifted meanwhile has freed more than one place.
  local room = cap == 0 and MOST_ASIDE or math.max(1, (cap or 0) - (tonumber(call('HGET', P .. 'running', tenant) or 0)))
  -- The place itself is always given on.
  for _ = 1, math.max(1, math.min(room, MOST_ASIDE - unparked)) do
    unparked = unparked + 1
    local id, score = unpack(next_parked(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    enter(QUEUES[math.floor(score / RANK)], id, score % RANK)
  end
  wake()
end

-- A turn that was its tenant's last and is not taken is the next one's: who replaces a chart again and again must not fall behind.
local function give_back(id, tenant, priority, weight)
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', P .. 'capped:' .. tenant, id)
  if score and math.floor(score % RANK) == tonumber(call('HGET', P .. 'turns:' .. priority, tenant)) then
    call('HINCRBY', P .. 'turns:' .. priority, tenant, -math.floor(ROUND / (weight or 1)))
  end
end

-- The place may have been freed for this very task.
local function unqueue(id, tenant)
  local priority, weight, deps, step = unpack(call('HMGET', record(id), 'priority', 'weight', 'deps', 'step'))
  give_back(id, tenant, priority, tonumber(weight or nil))
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  local delayed = call('ZREM', P .. 'delayed', id) == 1
  for _, key in ipairs({ 'deadlines', 'capped:' .. tenant }) do call('ZREM', P .. key, id) end
  if is_scheduled(step) then
    set_aside(tenant, -1)
  elseif delayed then
    set_aside(nil, -1)
  end
  for dep in string.gmatch(deps or '', '%S+') do call('ZREM', P .. 'dependents:' .. dep, id) end
  count('waiting', tenant, -1)
  unpark(tenant)
end

local function close_lease(id, tenant, verb, cap)
  call('ZREM', P .. 'processing', id)
  call('HSET', record(id), 'closed', verb)
  count('running', tenant, -1)
  unpark(tenant, cap)
end

-- A try that is over without a verdict: back to PENDING, its progress forgotten, itself remembered. `delay` in ms.
local function requeue(id, tenant, step, delay, verb, code, message)
  local t = call('HMGET', record(id), 'attempt', 'lease', 'worker', 'trace', 'step', 'progress', 'history')
  local attempt, lease, worker, trace, last_step, progress, history = unpack(t)
  local tries = cjson.decode(history or '[]')
  local started = trace and cjson.decode(trace)[1][2] or now
  tries[#tries + 1] = { attempt, lease, worker or '', started, now, verb, last_step, progress, code or '', message or '' }
  if #tries > MOST_TRIES then table.remove(tries, 1) end
  -- One that was handed back costs nothing.
  if verb == 'release' then attempt = attempt - 1 end
  call('HSET', record(id), 'status', 'PENDING', 'step', step, 'at', now + delay, 'from', 0, 'moved', '', 'progress', 0, 'attempt', attempt, 'history', cjson.encode(tries))
  call('DEL', details(id))
  count('waiting', tenant, 1)
  if delay > 0 then
    call('ZADD', P .. 'delayed', now + delay, id)
    set_aside(nil, 1)
  else
    queue_front(id)
  end
  announce(id)
  wake()
end
