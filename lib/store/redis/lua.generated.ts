// Generated from lua/*.lua by scripts/generate-lua.js (npm run lua): change those, not this.
export const scripts = {
  batch: {
    sha: '307c1933649a2621194b538a2a750a6127dd45ff',
    source: `#!lua flags=no-writes
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local t = call('HMGET', P .. 'batch:' .. ARGV[2], 'user', 'ids')
if not t[1] then return { false } end
local records = {}
for id in string.gmatch(t[2], '%S+') do records[#records + 1] = read(id) or nil end
if #records == 0 then return { false } end
return { t[1], records }`
  },
  cancelAll: {
    sha: '07865918a5e8942c70dd86b03d8746a8903da570',
    source: `#!lua flags=allow-oom
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id)
  local newest = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0)
  call('ZADD', key, -math.max(now, 1 - newest), id)
  call('PERSIST', key)
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local PRIORITIES = { 'high', 'normal', 'low' }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local RANK = 2 ^ 44
local function queue(name) return P .. 'queue:' .. name end
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then
      call('HDEL', P .. key, field)
      if key == 'waiting' then
        for _, priority in ipairs(PRIORITIES) do call('HDEL', P .. 'turns:' .. priority, field) end
        if field == '' then call('DEL', P .. 'shares') end
      end
    end
  end
end
local function wake()
  if call('LLEN', P .. 'wake') == 0 then
    call('LPUSH', P .. 'wake', 1)
    call('PEXPIRE', P .. 'wake', 60000)
  end
end
local function enter(priority, id, score)
  call('ZADD', queue(priority), score, id)
  if STRIDE[priority] and call('ZCARD', queue(priority)) == 1 then
    call('HSET', P .. 'shares', priority, tonumber(call('HGET', P .. 'shares', 'clock') or 0) + STRIDE[priority])
  end
end
local function queue_back(id, tenant, priority)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local turn = math.max(round, tonumber(call('HGET', P .. 'turns:' .. priority, tenant) or 0)) + 1
  call('HSET', P .. 'turns:' .. priority, tenant, turn)
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
end
local function admit(id, tenant, priority, run_at)
  if run_at > now then
    call('HSET', record(id), 'step', 'scheduled')
    call('ZADD', P .. 'delayed', run_at, id)
  else
    call('HSET', record(id), 'step', 'queued')
    queue_back(id, tenant, priority)
  end
end
local function queue_front(id)
  enter('again', id, now)
end
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
local function park(id, tenant, at, score)
  call('ZADD', P .. 'capped:' .. tenant, string.format('%.0f', at * RANK + math.floor(score)), id)
end
local function unpark(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if not head[1] then return end
  enter(QUEUES[math.floor(head[2] / RANK)], head[1], head[2] % RANK)
  wake()
end
local function unqueue(id, tenant)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  for _, key in ipairs({ 'delayed', 'capped:' .. tenant }) do call('ZREM', P .. key, id) end
  for dep in string.gmatch(call('HGET', record(id), 'deps') or '', '%S+') do call('LREM', P .. 'dependents:' .. dep, 0, id) end
  count('waiting', tenant, -1)
  unpark(tenant)
end
local function close_lease(id, tenant, verb)
  call('ZREM', P .. 'processing', id)
  call('HSET', record(id), 'closed', verb)
  count('running', tenant, -1)
  unpark(tenant)
end
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
local ended, untold = {}, {}
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches')
  local message, user, shared, same, keep, keys, batches = unpack(t)
  ended[#ended + 1], untold[#untold + 1] = id, id
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]
  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
  announce(id)
  call('PEXPIRE', record(id), keep_task)
  call('DEL', checkpoints(id))
  call('PEXPIRE', P .. 'request:' .. id, keep_task)
  call('PEXPIRE', details(id), keep_details)
  for key in string.gmatch(keys, '%S+') do call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
  call('ZADD', P .. 'finished', now + keep_task, id)
  if call('PTTL', P .. 'finished') < keep_task then call('PEXPIRE', P .. 'finished', keep_task) end
  index_finished(P .. 'message_tasks:' .. message .. ':' .. user, id, keep_task, keep_index)
  if status == 'COMPLETED' then
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
      if key ~= '' then call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
    end
  end
end
local function tell(id)
  local dependents = call('LRANGE', P .. 'dependents:' .. id, 0, -1)
  if #dependents == 0 then return end
  call('DEL', P .. 'dependents:' .. id)
  local completed = call('HGET', record(id), 'status') == 'COMPLETED'
  for _, dependent in ipairs(dependents) do
    local t = call('HMGET', record(dependent), 'tenant', 'priority', 'run_at')
    if not completed then
      unqueue(dependent, t[1])
      put_final(dependent, 'FAILED', { 'code', 'CHARTS_ERR_DEPENDENCY_FAILED' })
    elseif call('HINCRBY', record(dependent), 'left', -1) == 0 then
      admit(dependent, t[1], t[2], tonumber(t[3]) or 0)
      announce(dependent)
      wake()
    end
  end
end
local function tell_all()
  while #untold > 0 do tell(table.remove(untold)) end
end
local function finish(id, status, fields)
  put_final(id, status, fields)
  tell_all()
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
local function cancel(id)
  local cancelled = put_cancelled(id)
  tell_all()
  return cancelled
end
for i = 2, #ARGV do put_cancelled(ARGV[i]) end
tell_all()
return others({})`
  },
  cancel: {
    sha: '99404aa6b599906dc031a509b67fa0eafc2c1c92',
    source: `#!lua flags=allow-oom
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id)
  local newest = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0)
  call('ZADD', key, -math.max(now, 1 - newest), id)
  call('PERSIST', key)
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local PRIORITIES = { 'high', 'normal', 'low' }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local RANK = 2 ^ 44
local function queue(name) return P .. 'queue:' .. name end
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then
      call('HDEL', P .. key, field)
      if key == 'waiting' then
        for _, priority in ipairs(PRIORITIES) do call('HDEL', P .. 'turns:' .. priority, field) end
        if field == '' then call('DEL', P .. 'shares') end
      end
    end
  end
end
local function wake()
  if call('LLEN', P .. 'wake') == 0 then
    call('LPUSH', P .. 'wake', 1)
    call('PEXPIRE', P .. 'wake', 60000)
  end
end
local function enter(priority, id, score)
  call('ZADD', queue(priority), score, id)
  if STRIDE[priority] and call('ZCARD', queue(priority)) == 1 then
    call('HSET', P .. 'shares', priority, tonumber(call('HGET', P .. 'shares', 'clock') or 0) + STRIDE[priority])
  end
end
local function queue_back(id, tenant, priority)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local turn = math.max(round, tonumber(call('HGET', P .. 'turns:' .. priority, tenant) or 0)) + 1
  call('HSET', P .. 'turns:' .. priority, tenant, turn)
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
end
local function admit(id, tenant, priority, run_at)
  if run_at > now then
    call('HSET', record(id), 'step', 'scheduled')
    call('ZADD', P .. 'delayed', run_at, id)
  else
    call('HSET', record(id), 'step', 'queued')
    queue_back(id, tenant, priority)
  end
end
local function queue_front(id)
  enter('again', id, now)
end
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
local function park(id, tenant, at, score)
  call('ZADD', P .. 'capped:' .. tenant, string.format('%.0f', at * RANK + math.floor(score)), id)
end
local function unpark(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if not head[1] then return end
  enter(QUEUES[math.floor(head[2] / RANK)], head[1], head[2] % RANK)
  wake()
end
local function unqueue(id, tenant)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  for _, key in ipairs({ 'delayed', 'capped:' .. tenant }) do call('ZREM', P .. key, id) end
  for dep in string.gmatch(call('HGET', record(id), 'deps') or '', '%S+') do call('LREM', P .. 'dependents:' .. dep, 0, id) end
  count('waiting', tenant, -1)
  unpark(tenant)
end
local function close_lease(id, tenant, verb)
  call('ZREM', P .. 'processing', id)
  call('HSET', record(id), 'closed', verb)
  count('running', tenant, -1)
  unpark(tenant)
end
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
local ended, untold = {}, {}
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches')
  local message, user, shared, same, keep, keys, batches = unpack(t)
  ended[#ended + 1], untold[#untold + 1] = id, id
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]
  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
  announce(id)
  call('PEXPIRE', record(id), keep_task)
  call('DEL', checkpoints(id))
  call('PEXPIRE', P .. 'request:' .. id, keep_task)
  call('PEXPIRE', details(id), keep_details)
  for key in string.gmatch(keys, '%S+') do call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
  call('ZADD', P .. 'finished', now + keep_task, id)
  if call('PTTL', P .. 'finished') < keep_task then call('PEXPIRE', P .. 'finished', keep_task) end
  index_finished(P .. 'message_tasks:' .. message .. ':' .. user, id, keep_task, keep_index)
  if status == 'COMPLETED' then
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
      if key ~= '' then call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
    end
  end
end
local function tell(id)
  local dependents = call('LRANGE', P .. 'dependents:' .. id, 0, -1)
  if #dependents == 0 then return end
  call('DEL', P .. 'dependents:' .. id)
  local completed = call('HGET', record(id), 'status') == 'COMPLETED'
  for _, dependent in ipairs(dependents) do
    local t = call('HMGET', record(dependent), 'tenant', 'priority', 'run_at')
    if not completed then
      unqueue(dependent, t[1])
      put_final(dependent, 'FAILED', { 'code', 'CHARTS_ERR_DEPENDENCY_FAILED' })
    elseif call('HINCRBY', record(dependent), 'left', -1) == 0 then
      admit(dependent, t[1], t[2], tonumber(t[3]) or 0)
      announce(dependent)
      wake()
    end
  end
end
local function tell_all()
  while #untold > 0 do tell(table.remove(untold)) end
end
local function finish(id, status, fields)
  put_final(id, status, fields)
  tell_all()
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
local function cancel(id)
  local cancelled = put_cancelled(id)
  tell_all()
  return cancelled
end
local id = ARGV[2]
local known = read(id)
if not known then return { 'gone' } end
if cancel(id) then return { 'ok', read(id), others({}) } end
return { call('HGET', record(id), 'status') == 'CANCELLED' and 'ok' or 'finished', known }`
  },
  checkpoint: {
    sha: 'db22dd68906877b16ec3b418cbd6f0d62f2bf152',
    source: `#!lua
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local id, name, value, most = ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])
local t = call('HMGET', record(id), 'lease', 'status')
if t[1] ~= ARGV[3] or t[2] ~= 'PROCESSING' then return 'stale' end
local bytes = #value
for i, text in ipairs(call('HGETALL', checkpoints(id))) do
  if i % 2 == 0 then bytes = bytes + #text end
end
bytes = bytes - call('HSTRLEN', checkpoints(id), name)
if most > 0 and bytes > most then return 'too_large' end
call('HSET', checkpoints(id), name, value)
return 'ok'`
  },
  cleanup: {
    sha: '1c961b98502b93a83b204ef3d65ad46985eaf84a',
    source: `#!lua flags=allow-oom
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local ids = call('ZRANGEBYSCORE', P .. 'finished', '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
for _, id in ipairs(ids) do
  local chart = call('HGET', record(id), 'chart')
  if chart then call('DEL', P .. 'chart:' .. chart) end
  call('DEL', record(id), details(id), P .. 'request:' .. id)
  call('ZREM', P .. 'finished', id)
end
return #ids`
  },
  close: {
    sha: 'ced3cf68aba5ba681c8d74d16d354189c219b7d6',
    source: `#!lua flags=allow-oom
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id)
  local newest = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0)
  call('ZADD', key, -math.max(now, 1 - newest), id)
  call('PERSIST', key)
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local PRIORITIES = { 'high', 'normal', 'low' }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local RANK = 2 ^ 44
local function queue(name) return P .. 'queue:' .. name end
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then
      call('HDEL', P .. key, field)
      if key == 'waiting' then
        for _, priority in ipairs(PRIORITIES) do call('HDEL', P .. 'turns:' .. priority, field) end
        if field == '' then call('DEL', P .. 'shares') end
      end
    end
  end
end
local function wake()
  if call('LLEN', P .. 'wake') == 0 then
    call('LPUSH', P .. 'wake', 1)
    call('PEXPIRE', P .. 'wake', 60000)
  end
end
local function enter(priority, id, score)
  call('ZADD', queue(priority), score, id)
  if STRIDE[priority] and call('ZCARD', queue(priority)) == 1 then
    call('HSET', P .. 'shares', priority, tonumber(call('HGET', P .. 'shares', 'clock') or 0) + STRIDE[priority])
  end
end
local function queue_back(id, tenant, priority)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local turn = math.max(round, tonumber(call('HGET', P .. 'turns:' .. priority, tenant) or 0)) + 1
  call('HSET', P .. 'turns:' .. priority, tenant, turn)
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
end
local function admit(id, tenant, priority, run_at)
  if run_at > now then
    call('HSET', record(id), 'step', 'scheduled')
    call('ZADD', P .. 'delayed', run_at, id)
  else
    call('HSET', record(id), 'step', 'queued')
    queue_back(id, tenant, priority)
  end
end
local function queue_front(id)
  enter('again', id, now)
end
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
local function park(id, tenant, at, score)
  call('ZADD', P .. 'capped:' .. tenant, string.format('%.0f', at * RANK + math.floor(score)), id)
end
local function unpark(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if not head[1] then return end
  enter(QUEUES[math.floor(head[2] / RANK)], head[1], head[2] % RANK)
  wake()
end
local function unqueue(id, tenant)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  for _, key in ipairs({ 'delayed', 'capped:' .. tenant }) do call('ZREM', P .. key, id) end
  for dep in string.gmatch(call('HGET', record(id), 'deps') or '', '%S+') do call('LREM', P .. 'dependents:' .. dep, 0, id) end
  count('waiting', tenant, -1)
  unpark(tenant)
end
local function close_lease(id, tenant, verb)
  call('ZREM', P .. 'processing', id)
  call('HSET', record(id), 'closed', verb)
  count('running', tenant, -1)
  unpark(tenant)
end
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
local ended, untold = {}, {}
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches')
  local message, user, shared, same, keep, keys, batches = unpack(t)
  ended[#ended + 1], untold[#untold + 1] = id, id
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]
  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
  announce(id)
  call('PEXPIRE', record(id), keep_task)
  call('DEL', checkpoints(id))
  call('PEXPIRE', P .. 'request:' .. id, keep_task)
  call('PEXPIRE', details(id), keep_details)
  for key in string.gmatch(keys, '%S+') do call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
  call('ZADD', P .. 'finished', now + keep_task, id)
  if call('PTTL', P .. 'finished') < keep_task then call('PEXPIRE', P .. 'finished', keep_task) end
  index_finished(P .. 'message_tasks:' .. message .. ':' .. user, id, keep_task, keep_index)
  if status == 'COMPLETED' then
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
      if key ~= '' then call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
    end
  end
end
local function tell(id)
  local dependents = call('LRANGE', P .. 'dependents:' .. id, 0, -1)
  if #dependents == 0 then return end
  call('DEL', P .. 'dependents:' .. id)
  local completed = call('HGET', record(id), 'status') == 'COMPLETED'
  for _, dependent in ipairs(dependents) do
    local t = call('HMGET', record(dependent), 'tenant', 'priority', 'run_at')
    if not completed then
      unqueue(dependent, t[1])
      put_final(dependent, 'FAILED', { 'code', 'CHARTS_ERR_DEPENDENCY_FAILED' })
    elseif call('HINCRBY', record(dependent), 'left', -1) == 0 then
      admit(dependent, t[1], t[2], tonumber(t[3]) or 0)
      announce(dependent)
      wake()
    end
  end
end
local function tell_all()
  while #untold > 0 do tell(table.remove(untold)) end
end
local function finish(id, status, fields)
  put_final(id, status, fields)
  tell_all()
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
local function cancel(id)
  local cancelled = put_cancelled(id)
  tell_all()
  return cancelled
end
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
local function handed(id)
  local known = read(id)
  if tonumber(call('HGET', record(id), 'lease')) > 1 then known[5] = call('HGETALL', checkpoints(id)) end
  return known
end
local function take(own, worker, take_id, wanted, lease_duration, running_per_tenant)
  local taken = {}
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
local function backoff(policy, attempt, random)
  local kind, delay, max, jitter = string.match(policy, '(%S+) (%S+) (%S+) (%S+)')
  local ms = tonumber(delay)
  if kind == 'exponential' then ms = ms * 2 ^ (attempt - 1) end
  return math.floor(math.min(ms, tonumber(max)) * (1 - tonumber(jitter) * random))
end
local verbs = {}
function verbs.complete(id, tenant, chart, content)
  if content ~= '' then call('SET', P .. 'chart:' .. chart, content, 'PX', tonumber(string.match(call('HGET', record(id), 'keep'), '%d+'))) end
  finish(id, 'COMPLETED', { 'chart', chart, 'progress', 100 })
end
function verbs.fail(id, tenant, code, message, delay, random)
  local t = call('HMGET', record(id), 'attempt', 'max', 'backoff')
  if delay == 'never' or tonumber(t[1]) >= tonumber(t[2]) then
    finish(id, 'FAILED', { 'code', code, 'error', message })
  else
    requeue(id, tenant, 'retrying', tonumber(delay) or backoff(t[3], tonumber(t[1]), tonumber(random)))
  end
end
function verbs.release(id, tenant)
  call('HINCRBY', record(id), 'attempt', -1)
  requeue(id, tenant, 'queued', 0)
end
local closed, own = {}, {}
for i = 7, #ARGV, 7 do
  local id, lease, verb = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local t = call('HMGET', record(id), 'lease', 'status', 'closed', 'tenant')
  local answer = { 'stale' }
  own[id] = true
  if t[1] == lease then
    if t[2] == 'PROCESSING' then
      close_lease(id, t[4], verb)
      verbs[verb](id, t[4], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
      answer = { 'ok' }
    elseif t[3] == verb then
      answer = { 'ok' }
    end
  end
  local status = answer[1] == 'ok' and call('HGET', record(id), 'status')
  if status == 'COMPLETED' or status == 'FAILED' then answer[2] = read(id) end
  closed[#closed + 1] = answer
end
return { closed, take(own, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])) }`
  },
  dequeue: {
    sha: '6a7a914f0bb2f3f7008b8be9e21994400638720f',
    source: `#!lua
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id)
  local newest = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0)
  call('ZADD', key, -math.max(now, 1 - newest), id)
  call('PERSIST', key)
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local PRIORITIES = { 'high', 'normal', 'low' }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local RANK = 2 ^ 44
local function queue(name) return P .. 'queue:' .. name end
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then
      call('HDEL', P .. key, field)
      if key == 'waiting' then
        for _, priority in ipairs(PRIORITIES) do call('HDEL', P .. 'turns:' .. priority, field) end
        if field == '' then call('DEL', P .. 'shares') end
      end
    end
  end
end
local function wake()
  if call('LLEN', P .. 'wake') == 0 then
    call('LPUSH', P .. 'wake', 1)
    call('PEXPIRE', P .. 'wake', 60000)
  end
end
local function enter(priority, id, score)
  call('ZADD', queue(priority), score, id)
  if STRIDE[priority] and call('ZCARD', queue(priority)) == 1 then
    call('HSET', P .. 'shares', priority, tonumber(call('HGET', P .. 'shares', 'clock') or 0) + STRIDE[priority])
  end
end
local function queue_back(id, tenant, priority)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local turn = math.max(round, tonumber(call('HGET', P .. 'turns:' .. priority, tenant) or 0)) + 1
  call('HSET', P .. 'turns:' .. priority, tenant, turn)
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
end
local function admit(id, tenant, priority, run_at)
  if run_at > now then
    call('HSET', record(id), 'step', 'scheduled')
    call('ZADD', P .. 'delayed', run_at, id)
  else
    call('HSET', record(id), 'step', 'queued')
    queue_back(id, tenant, priority)
  end
end
local function queue_front(id)
  enter('again', id, now)
end
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
local function park(id, tenant, at, score)
  call('ZADD', P .. 'capped:' .. tenant, string.format('%.0f', at * RANK + math.floor(score)), id)
end
local function unpark(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if not head[1] then return end
  enter(QUEUES[math.floor(head[2] / RANK)], head[1], head[2] % RANK)
  wake()
end
local function unqueue(id, tenant)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  for _, key in ipairs({ 'delayed', 'capped:' .. tenant }) do call('ZREM', P .. key, id) end
  for dep in string.gmatch(call('HGET', record(id), 'deps') or '', '%S+') do call('LREM', P .. 'dependents:' .. dep, 0, id) end
  count('waiting', tenant, -1)
  unpark(tenant)
end
local function close_lease(id, tenant, verb)
  call('ZREM', P .. 'processing', id)
  call('HSET', record(id), 'closed', verb)
  count('running', tenant, -1)
  unpark(tenant)
end
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
local ended, untold = {}, {}
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches')
  local message, user, shared, same, keep, keys, batches = unpack(t)
  ended[#ended + 1], untold[#untold + 1] = id, id
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]
  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
  announce(id)
  call('PEXPIRE', record(id), keep_task)
  call('DEL', checkpoints(id))
  call('PEXPIRE', P .. 'request:' .. id, keep_task)
  call('PEXPIRE', details(id), keep_details)
  for key in string.gmatch(keys, '%S+') do call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
  call('ZADD', P .. 'finished', now + keep_task, id)
  if call('PTTL', P .. 'finished') < keep_task then call('PEXPIRE', P .. 'finished', keep_task) end
  index_finished(P .. 'message_tasks:' .. message .. ':' .. user, id, keep_task, keep_index)
  if status == 'COMPLETED' then
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
      if key ~= '' then call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
    end
  end
end
local function tell(id)
  local dependents = call('LRANGE', P .. 'dependents:' .. id, 0, -1)
  if #dependents == 0 then return end
  call('DEL', P .. 'dependents:' .. id)
  local completed = call('HGET', record(id), 'status') == 'COMPLETED'
  for _, dependent in ipairs(dependents) do
    local t = call('HMGET', record(dependent), 'tenant', 'priority', 'run_at')
    if not completed then
      unqueue(dependent, t[1])
      put_final(dependent, 'FAILED', { 'code', 'CHARTS_ERR_DEPENDENCY_FAILED' })
    elseif call('HINCRBY', record(dependent), 'left', -1) == 0 then
      admit(dependent, t[1], t[2], tonumber(t[3]) or 0)
      announce(dependent)
      wake()
    end
  end
end
local function tell_all()
  while #untold > 0 do tell(table.remove(untold)) end
end
local function finish(id, status, fields)
  put_final(id, status, fields)
  tell_all()
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
local function cancel(id)
  local cancelled = put_cancelled(id)
  tell_all()
  return cancelled
end
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
local function handed(id)
  local known = read(id)
  if tonumber(call('HGET', record(id), 'lease')) > 1 then known[5] = call('HGETALL', checkpoints(id)) end
  return known
end
local function take(own, worker, take_id, wanted, lease_duration, running_per_tenant)
  local taken = {}
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
return take({}, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))`
  },
  enqueue: {
    sha: '5d274563a41233dc1b413efb9e9db1be68f07a80',
    source: `#!lua
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id)
  local newest = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0)
  call('ZADD', key, -math.max(now, 1 - newest), id)
  call('PERSIST', key)
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local PRIORITIES = { 'high', 'normal', 'low' }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local RANK = 2 ^ 44
local function queue(name) return P .. 'queue:' .. name end
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then
      call('HDEL', P .. key, field)
      if key == 'waiting' then
        for _, priority in ipairs(PRIORITIES) do call('HDEL', P .. 'turns:' .. priority, field) end
        if field == '' then call('DEL', P .. 'shares') end
      end
    end
  end
end
local function wake()
  if call('LLEN', P .. 'wake') == 0 then
    call('LPUSH', P .. 'wake', 1)
    call('PEXPIRE', P .. 'wake', 60000)
  end
end
local function enter(priority, id, score)
  call('ZADD', queue(priority), score, id)
  if STRIDE[priority] and call('ZCARD', queue(priority)) == 1 then
    call('HSET', P .. 'shares', priority, tonumber(call('HGET', P .. 'shares', 'clock') or 0) + STRIDE[priority])
  end
end
local function queue_back(id, tenant, priority)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local turn = math.max(round, tonumber(call('HGET', P .. 'turns:' .. priority, tenant) or 0)) + 1
  call('HSET', P .. 'turns:' .. priority, tenant, turn)
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
end
local function admit(id, tenant, priority, run_at)
  if run_at > now then
    call('HSET', record(id), 'step', 'scheduled')
    call('ZADD', P .. 'delayed', run_at, id)
  else
    call('HSET', record(id), 'step', 'queued')
    queue_back(id, tenant, priority)
  end
end
local function queue_front(id)
  enter('again', id, now)
end
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
local function park(id, tenant, at, score)
  call('ZADD', P .. 'capped:' .. tenant, string.format('%.0f', at * RANK + math.floor(score)), id)
end
local function unpark(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if not head[1] then return end
  enter(QUEUES[math.floor(head[2] / RANK)], head[1], head[2] % RANK)
  wake()
end
local function unqueue(id, tenant)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  for _, key in ipairs({ 'delayed', 'capped:' .. tenant }) do call('ZREM', P .. key, id) end
  for dep in string.gmatch(call('HGET', record(id), 'deps') or '', '%S+') do call('LREM', P .. 'dependents:' .. dep, 0, id) end
  count('waiting', tenant, -1)
  unpark(tenant)
end
local function close_lease(id, tenant, verb)
  call('ZREM', P .. 'processing', id)
  call('HSET', record(id), 'closed', verb)
  count('running', tenant, -1)
  unpark(tenant)
end
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
local ended, untold = {}, {}
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches')
  local message, user, shared, same, keep, keys, batches = unpack(t)
  ended[#ended + 1], untold[#untold + 1] = id, id
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]
  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
  announce(id)
  call('PEXPIRE', record(id), keep_task)
  call('DEL', checkpoints(id))
  call('PEXPIRE', P .. 'request:' .. id, keep_task)
  call('PEXPIRE', details(id), keep_details)
  for key in string.gmatch(keys, '%S+') do call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
  call('ZADD', P .. 'finished', now + keep_task, id)
  if call('PTTL', P .. 'finished') < keep_task then call('PEXPIRE', P .. 'finished', keep_task) end
  index_finished(P .. 'message_tasks:' .. message .. ':' .. user, id, keep_task, keep_index)
  if status == 'COMPLETED' then
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
      if key ~= '' then call('PEXPIRE', P .. 'idempotency:' .. key, keep_task) end
    end
  end
end
local function tell(id)
  local dependents = call('LRANGE', P .. 'dependents:' .. id, 0, -1)
  if #dependents == 0 then return end
  call('DEL', P .. 'dependents:' .. id)
  local completed = call('HGET', record(id), 'status') == 'COMPLETED'
  for _, dependent in ipairs(dependents) do
    local t = call('HMGET', record(dependent), 'tenant', 'priority', 'run_at')
    if not completed then
      unqueue(dependent, t[1])
      put_final(dependent, 'FAILED', { 'code', 'CHARTS_ERR_DEPENDENCY_FAILED' })
    elseif call('HINCRBY', record(dependent), 'left', -1) == 0 then
      admit(dependent, t[1], t[2], tonumber(t[3]) or 0)
      announce(dependent)
      wake()
    end
  end
end
local function tell_all()
  while #untold > 0 do tell(table.remove(untold)) end
end
local function finish(id, status, fields)
  put_final(id, status, fields)
  tell_all()
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
local function cancel(id)
  local cancelled = put_cancelled(id)
  tell_all()
  return cancelled
end
local function find_alike(draft, charts_inside)
  local index = P .. 'same:' .. draft.same
  local active = call('ZRANGEBYSCORE', index, '-inf', '(0', 'LIMIT', 0, 1)[1]
  if active then return active, 'already_active' end
  local finished = call('ZREVRANGEBYSCORE', index, '+inf', '(0', 'LIMIT', 0, 1)[1]
  if not finished or not read(finished) then return end
  local chart = call('HGET', record(finished), 'chart')
  if chart ~= draft.missing and (not charts_inside or call('EXISTS', P .. 'chart:' .. chart) == 1) then return finished, 'chart_exists' end
end
local function match_alike(drafts, charts_inside)
  local by_id, planned, fresh = {}, {}, {}
  for _, draft in ipairs(drafts) do
    by_id[draft.id] = draft
    if not draft.force and not draft.known then
      if planned[draft.same] then
        draft.becomes, draft.outcome = planned[draft.same], 'already_active'
      else
        draft.becomes, draft.outcome = find_alike(draft, charts_inside)
      end
    end
    if not draft.becomes then
      draft.becomes, draft.outcome = draft.id, 'queued'
      planned[draft.same] = draft.id
      draft.fresh = not draft.known
      if draft.fresh then fresh[#fresh + 1] = draft end
    end
  end
  return by_id, fresh
end
local function resolve_needs(by_id, fresh, user)
  for _, draft in ipairs(fresh) do
    draft.deps, draft.waits = {}, {}
    for need in string.gmatch(draft.needs, '%S+') do
      local dep = by_id[need] and by_id[need].becomes or need
      draft.deps[#draft.deps + 1] = dep
      local t = call('HMGET', record(dep), 'status', 'user', 'expires')
      if not (by_id[dep] and by_id[dep].fresh) then
        if not t[1] or t[2] ~= user or (t[3] and tonumber(t[3]) <= now) then return { 'dependency_unknown', need } end
        if t[1] == 'FAILED' or t[1] == 'CANCELLED' then return { 'dependency_failed', need } end
      end
      if t[1] ~= 'COMPLETED' and not draft.waits[dep] then
        draft.waits[dep], draft.waits[#draft.waits + 1] = true, dep
      end
    end
  end
end
local function keep_needed(kept)
  local open = {}
  for id in pairs(kept) do open[#open + 1] = id end
  while #open > 0 do
    local t = call('HMGET', record(table.remove(open)), 'left', 'deps')
    for dep in string.gmatch(tonumber(t[1] or 0) > 0 and t[2] or '', '%S+') do
      if not kept[dep] then kept[dep], open[#open + 1] = true, dep end
    end
  end
end
local function find_older(drafts, user)
  local kept, older, replacing = {}, {}, {}
  for _, draft in ipairs(drafts) do
    kept[draft.becomes] = true
    for _, dep in ipairs(draft.deps or {}) do kept[dep] = true end
    if draft.supersede then replacing[#replacing + 1] = draft end
  end
  if #replacing > 0 then keep_needed(kept) end
  for _, draft in ipairs(replacing) do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'message_tasks:' .. draft.message .. ':' .. user, '-inf', '(0')) do
      if not kept[id] then kept[id], older[#older + 1] = true, id end
    end
  end
  return older
end
local function find_full(fresh, older, tenant, most_of_tenant, most)
  local freed, freed_of_tenant = 0, 0
  for _, id in ipairs(older) do
    local t = call('HMGET', record(id), 'status', 'tenant')
    if t[1] == 'PENDING' then
      freed = freed + 1
      if t[2] == tenant then freed_of_tenant = freed_of_tenant + 1 end
    end
  end
  local function full(field, limit, room)
    return #fresh > 0 and limit > 0 and tonumber(call('HGET', P .. 'waiting', field) or 0) - room + #fresh > limit
  end
  if full(tenant, most_of_tenant, freed_of_tenant) then return { 'tenant_full' } end
  if full('', most, freed) then return { 'queue_full' } end
end
local function create(draft, user, tenant, keep, attempts, backoff)
  local id = draft.id
  call('SET', P .. 'request:' .. id, draft.request)
  call('HSET', record(id), 'format', 1, 'message', draft.message, 'user', user, 'tenant', tenant, 'shared', draft.shared, 'same', draft.same,
    'priority', draft.priority, 'keep', keep, 'max', attempts, 'backoff', backoff, 'keys', '', 'status', 'PENDING', 'progress', 0,
    'version', 1, 'created', now, 'attempt', 0, 'lease', 0)
  count('waiting', tenant, 1)
  if draft.run_at > 0 then call('HSET', record(id), 'run_at', draft.run_at) end
  if #draft.deps > 0 then call('HSET', record(id), 'deps', table.concat(draft.deps, ' '), 'left', #draft.waits) end
  if #draft.waits > 0 then
    call('HSET', record(id), 'step', 'waiting_for_dependencies')
    for _, dep in ipairs(draft.waits) do call('RPUSH', P .. 'dependents:' .. dep, id) end
  else
    admit(id, tenant, draft.priority, draft.run_at)
  end
  index_active(P .. 'same:' .. draft.same, id)
  index_active(P .. 'message_tasks:' .. draft.message .. ':' .. user, id)
  call('PUBLISH', P .. 'message:' .. draft.message .. ':' .. user, id)
end
local function note(id, field, value)
  local noted = call('HGET', record(id), field) or ''
  if string.find(noted .. ' ', ' ' .. value .. ' ', 1, true) then return false end
  call('HSET', record(id), field, noted .. ' ' .. value)
  return true
end
local function bind(drafts, user, batch, key, body)
  local ids, unfinished, last = {}, 0, now
  for i, draft in ipairs(drafts) do
    ids[i] = draft.becomes
    local expires = tonumber(call('HGET', record(ids[i]), 'expires'))
    if expires then
      last = math.max(last, expires)
    elseif batch == '' and key ~= '' then
      unfinished = unfinished + 1
      note(ids[i], 'keys', key)
    elseif batch ~= '' and note(ids[i], 'batches', batch) then
      unfinished = unfinished + 1
    end
  end
  local bound = {}
  if batch ~= '' then
    bound[1] = P .. 'batch:' .. batch
    call('HSET', bound[1], 'user', user, 'ids', table.concat(ids, ' '), 'left', unfinished, 'key', key)
  end
  if key ~= '' then
    bound[#bound + 1] = P .. 'idempotency:' .. key
    call('SET', bound[#bound], (batch ~= '' and batch or ids[1]) .. body)
  end
  for _, name in ipairs(unfinished == 0 and bound or {}) do call('PEXPIRE', name, last - now) end
end
local user, tenant, key, body, batch = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[12]
local drafts, again = {}, false
for i = 13, #ARGV, 11 do
  drafts[#drafts + 1] = {
    id = ARGV[i], message = ARGV[i + 1], shared = ARGV[i + 2], same = ARGV[i + 3], force = ARGV[i + 4] == '1', request = ARGV[i + 5],
    missing = ARGV[i + 6], priority = ARGV[i + 7], run_at = tonumber(ARGV[i + 8]) or 0, supersede = ARGV[i + 9] == '1', needs = ARGV[i + 10],
    known = call('EXISTS', record(ARGV[i])) == 1
  }
  again = again or ARGV[i + 6] ~= ''
end
local before = drafts[1].known and drafts[1].id
if batch ~= '' then before = not again and call('HGET', P .. 'batch:' .. batch, 'ids') end
if before then
  local repeated = {}
  for id in string.gmatch(before, '%S+') do
    local outcome = call('HEXISTS', record(id), 'expires') == 1 and 'chart_exists' or 'already_active'
    if id == drafts[#repeated + 1].id then outcome = 'queued' end
    repeated[#repeated + 1] = { outcome, read(id) }
  end
  return { 'accepted', repeated, {} }
end
local seen = key ~= '' and not again and call('GET', P .. 'idempotency:' .. key)
if seen then
  local bound, records = string.sub(seen, 1, 36), {}
  for id in string.gmatch(call('HGET', P .. 'batch:' .. bound, 'ids') or bound, '%S+') do
    local known = read(id)
    if known then records[#records + 1] = { 'replayed', known } end
  end
  if #records > 0 then
    if string.sub(seen, 37) ~= body then return { 'key_reused' } end
    return { 'replayed', records, {}, bound }
  end
end
local by_id, fresh = match_alike(drafts, ARGV[11] == '1')
local refusal = resolve_needs(by_id, fresh, user)
if refusal then return refusal end
local older = find_older(drafts, user)
refusal = find_full(fresh, older, tenant, tonumber(ARGV[6]), tonumber(ARGV[7]))
if refusal then return refusal end
for _, id in ipairs(older) do cancel(id) end
for _, draft in ipairs(fresh) do create(draft, user, tenant, ARGV[8], ARGV[9], ARGV[10]) end
if #fresh > 0 then wake() end
bind(drafts, user, batch, key, body)
local records = {}
for i, draft in ipairs(drafts) do
  if draft.fresh then
    records[i] = { 'queued', false, tostring(now), call('HGET', record(draft.id), 'step') }
  else
    records[i] = { draft.outcome, read(draft.becomes) }
  end
end
return { 'accepted', records, others({}) }`
  },
  extend: {
    sha: '1faac5725173b4c006c35382587fcafcf350e7dc',
    source: `#!lua flags=allow-oom
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local answers = {}
for i = 3, #ARGV, 2 do
  local t = call('HMGET', record(ARGV[i]), 'lease', 'status')
  local answer = 'stale'
  if t[1] == ARGV[i + 1] and t[2] == 'PROCESSING' then
    call('ZADD', P .. 'processing', now + ARGV[2], ARGV[i])
    answer = 'ok'
  elseif t[1] == ARGV[i + 1] and t[2] == 'CANCELLED' then
    answer = 'cancelled'
  end
  answers[#answers + 1] = answer
end
return answers`
  },
  message: {
    sha: 'ec6c1eb12cbe543073c1fc6884b4bad85de455a5',
    source: `#!lua flags=no-writes
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local mine = P .. 'message_tasks:' .. ARGV[2] .. ':' .. ARGV[3]
local limit = tonumber(ARGV[5])
local PAGE, MOST_READ = 100, 1000
local active = {}
for _, id in ipairs(call('ZRANGEBYSCORE', mine, '-inf', '(0', 'LIMIT', 0, limit)) do active[#active + 1] = read(id) end
if ARGV[6] then return { active } end
local found = { COMPLETED = {}, FAILED = {}, CANCELLED = {} }
local offset = 0
while offset < MOST_READ and (#found.COMPLETED < limit or #found.FAILED < limit) do
  local ids = call('ZREVRANGEBYSCORE', mine, '+inf', '(0', 'LIMIT', offset, PAGE)
  for _, id in ipairs(ids) do
    local status = call('HGET', record(id), 'status')
    local list = status and found[status]
    if list and #list < limit then list[#list + 1] = read(id) or nil end
  end
  if #ids < PAGE then break end
  offset = offset + PAGE
end
local others = {}
if ARGV[4] ~= '' then
  for _, id in ipairs(call('ZREVRANGEBYSCORE', P .. 'message_charts:' .. ARGV[2] .. ':' .. ARGV[4], '+inf', '(0', 'LIMIT', 0, 2 * limit)) do
    if #others < limit and call('HGET', record(id), 'user') ~= ARGV[3] then others[#others + 1] = read(id) or nil end
  end
end
return { active, found.COMPLETED, found.FAILED, others, tostring(now), found.CANCELLED }`
  },
  progress: {
    sha: '007ce8a18a64d2bdf4b5779c87dbed047c1eef9a',
    source: `#!lua
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local MOST_STEPS = 64
local function put(id, steps, changed)
  for name, percent in pairs(steps) do
    local old = call('HGET', details(id), name)
    if old ~= percent and (old or call('HLEN', details(id)) < MOST_STEPS) then
      call('HSET', details(id), name, percent)
      changed = true
    end
  end
  return changed
end
local answers = {}
local i = 2
while i <= #ARGV do
  local id, lease, progress, step, n = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], tonumber(ARGV[i + 4])
  local t = call('HMGET', record(id), 'lease', 'status', 'progress', 'step')
  local current = t[1] == lease and t[2] == 'PROCESSING'
  answers[#answers + 1] = current and 1 or 0
  local changed = false
  for j = i + 5, i + 4 + 2 * n, 2 do
    if current then changed = put(id, { [ARGV[j]] = ARGV[j + 1] }, changed) end
  end
  if current and progress and progress > tonumber(t[3]) then
    call('HSET', record(id), 'progress', progress)
    changed = true
  end
  if current and step ~= '' and step ~= t[4] then
    call('HSET', record(id), 'step', step)
    changed = true
  end
  if changed then announce(id) end
  i = i + 5 + 2 * n
end
return answers`
  },
  read: {
    sha: '56727f26200fcad3e46ed40df4ce2d16fd97df3b',
    source: `#!lua flags=no-writes
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local records = {}
for i = 2, #ARGV do records[#records + 1] = read(ARGV[i]) end
return records`
  },
  stats: {
    sha: 'cf8bba8df131a3635f8f665a37de2b0e752d9bd4',
    source: `#!lua flags=no-writes
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
local oldest = false
for _, name in ipairs({ 'again', 'high', 'normal', 'low' }) do
  local head = call('ZRANGE', P .. 'queue:' .. name, 0, 0)[1]
  local created = head and call('HGET', record(head), 'created')
  if created and (not oldest or created < oldest) then oldest = created end
end
return {
  tonumber(call('HGET', P .. 'waiting', '') or 0),
  call('ZCARD', P .. 'processing'),
  call('ZCARD', P .. 'delayed'),
  oldest,
  tostring(now)
}`
  }
} as const
