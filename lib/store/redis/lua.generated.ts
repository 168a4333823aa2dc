// Generated from lua/*.lua by scripts/generate-lua.js (npm run lua): change those, not this.
export const scripts = {
  cancel: {
    sha: '9067d2ac68ce6105e3fb0215ea098e40daa1e486',
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
  if call('ZCOUNT', key, '-inf', '(0') == 0 then call('PEXPIRE', key, keep) end
end
local function index_active(key, id)
  local newest = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0)
  call('ZADD', key, -math.max(now, 1 - newest), id)
  call('PERSIST', key)
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  call('ZREMRANGEBYSCORE', key, 0, now - keep_task)
  index_expire(key, keep_index)
end
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then call('HDEL', P .. key, field) end
  end
end
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
local function queue_front(id)
  call('ZADD', P .. 'queue', now - 1e15, id)
end
local function uncap(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if head[1] then
    call('ZADD', P .. 'queue', head[2], head[1])
    wake()
  end
end
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
local function finish(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys')
  local message, user, shared, same, keep, keys = unpack(t)
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]
  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
  announce(id)
  call('PEXPIRE', record(id), keep_task)
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
end
local id = ARGV[2]
local known = read(id)
if not known then return { 'gone' } end
local t = call('HMGET', record(id), 'status', 'tenant')
if t[1] == 'PENDING' then
  unqueue(id, t[2])
elseif t[1] == 'PROCESSING' then
  close_lease(id, t[2], 'cancel')
  call('PUBLISH', P .. 'cancelled', id)
else
  return { t[1] == 'CANCELLED' and 'ok' or 'finished', known }
end
finish(id, 'CANCELLED', {})
return { 'ok', read(id), 1 }`
  },
  cleanup: {
    sha: 'a535539280c8f64b78761072d9e630a924b6e07d',
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
    sha: 'b59ccea8433328ffc5f447e11b6a6455906fe948',
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
  if call('ZCOUNT', key, '-inf', '(0') == 0 then call('PEXPIRE', key, keep) end
end
local function index_active(key, id)
  local newest = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0)
  call('ZADD', key, -math.max(now, 1 - newest), id)
  call('PERSIST', key)
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  call('ZREMRANGEBYSCORE', key, 0, now - keep_task)
  index_expire(key, keep_index)
end
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then call('HDEL', P .. key, field) end
  end
end
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
local function queue_front(id)
  call('ZADD', P .. 'queue', now - 1e15, id)
end
local function uncap(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if head[1] then
    call('ZADD', P .. 'queue', head[2], head[1])
    wake()
  end
end
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
local function finish(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys')
  local message, user, shared, same, keep, keys = unpack(t)
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]
  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
  announce(id)
  call('PEXPIRE', record(id), keep_task)
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
end
local function expire()
  local lost = {}
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'processing', '-inf', now, 'LIMIT', 0, 100)) do
    local t = call('HMGET', record(id), 'attempt', 'max', 'tenant')
    close_lease(id, t[3], 'expire')
    if tonumber(t[1]) < tonumber(t[2]) then
      requeue(id, t[3], 'queued', 0)
    else
      finish(id, 'FAILED', { 'code', 'CHARTS_ERR_WORKER_LOST' })
      lost[#lost + 1] = read(id)
    end
  end
  return lost
end
local function promote()
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, 100)) do
    call('ZREM', P .. 'delayed', id)
    queue_front(id)
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
local function take(worker, take_id, wanted, lease_duration, running_per_tenant)
  local taken = {}
  local before = call('GET', P .. 'take:' .. worker)
  if before and string.sub(before, 1, #take_id + 1) == take_id .. ' ' then
    for id in string.gmatch(string.sub(before, #take_id + 1), '%S+') do
      local t = call('HMGET', record(id), 'status', 'take')
      if t[1] == 'PROCESSING' and t[2] == take_id then taken[#taken + 1] = read(id) end
    end
    return { taken, {}, next_due() }
  end
  local lost = expire()
  promote()
  local ids = { take_id }
  while #taken < wanted do
    local head = call('ZPOPMIN', P .. 'queue')
    local id = head[1]
    if not id then break end
    local tenant = call('HGET', record(id), 'tenant')
    if running_per_tenant > 0 and tonumber(call('HGET', P .. 'running', tenant) or 0) >= running_per_tenant then
      call('ZADD', P .. 'capped:' .. tenant, head[2], id)
    else
      start(id, tenant, take_id, lease_duration)
      taken[#taken + 1] = read(id)
      ids[#ids + 1] = id
    end
  end
  if #taken > 0 then call('SET', P .. 'take:' .. worker, table.concat(ids, ' '), 'PX', lease_duration) end
  if call('EXISTS', P .. 'queue') == 1 then wake() end
  return { taken, lost, next_due() }
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
local closed = {}
for i = 7, #ARGV, 7 do
  local id, lease, verb = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local t = call('HMGET', record(id), 'lease', 'status', 'closed', 'tenant')
  local answer = { 'stale' }
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
return { closed, take(ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])) }`
  },
  dequeue: {
    sha: '3b8465a8077d3cd4d2ac8690b5d36a2a6319d4e5',
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
  if call('ZCOUNT', key, '-inf', '(0') == 0 then call('PEXPIRE', key, keep) end
end
local function index_active(key, id)
  local newest = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0)
  call('ZADD', key, -math.max(now, 1 - newest), id)
  call('PERSIST', key)
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  call('ZREMRANGEBYSCORE', key, 0, now - keep_task)
  index_expire(key, keep_index)
end
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then call('HDEL', P .. key, field) end
  end
end
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
local function queue_front(id)
  call('ZADD', P .. 'queue', now - 1e15, id)
end
local function uncap(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if head[1] then
    call('ZADD', P .. 'queue', head[2], head[1])
    wake()
  end
end
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
local function finish(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys')
  local message, user, shared, same, keep, keys = unpack(t)
  local k = {}
  for ms in string.gmatch(keep, '%d+') do k[#k + 1] = tonumber(ms) end
  local keep_task, keep_details, keep_index = k[1], k[2], k[3]
  call('HSET', record(id), 'status', status, 'step', string.lower(status), 'completed', now,
    'expires', now + keep_task, 'details_expire', now + keep_details, unpack(fields))
  announce(id)
  call('PEXPIRE', record(id), keep_task)
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
end
local function expire()
  local lost = {}
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'processing', '-inf', now, 'LIMIT', 0, 100)) do
    local t = call('HMGET', record(id), 'attempt', 'max', 'tenant')
    close_lease(id, t[3], 'expire')
    if tonumber(t[1]) < tonumber(t[2]) then
      requeue(id, t[3], 'queued', 0)
    else
      finish(id, 'FAILED', { 'code', 'CHARTS_ERR_WORKER_LOST' })
      lost[#lost + 1] = read(id)
    end
  end
  return lost
end
local function promote()
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, 100)) do
    call('ZREM', P .. 'delayed', id)
    queue_front(id)
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
local function take(worker, take_id, wanted, lease_duration, running_per_tenant)
  local taken = {}
  local before = call('GET', P .. 'take:' .. worker)
  if before and string.sub(before, 1, #take_id + 1) == take_id .. ' ' then
    for id in string.gmatch(string.sub(before, #take_id + 1), '%S+') do
      local t = call('HMGET', record(id), 'status', 'take')
      if t[1] == 'PROCESSING' and t[2] == take_id then taken[#taken + 1] = read(id) end
    end
    return { taken, {}, next_due() }
  end
  local lost = expire()
  promote()
  local ids = { take_id }
  while #taken < wanted do
    local head = call('ZPOPMIN', P .. 'queue')
    local id = head[1]
    if not id then break end
    local tenant = call('HGET', record(id), 'tenant')
    if running_per_tenant > 0 and tonumber(call('HGET', P .. 'running', tenant) or 0) >= running_per_tenant then
      call('ZADD', P .. 'capped:' .. tenant, head[2], id)
    else
      start(id, tenant, take_id, lease_duration)
      taken[#taken + 1] = read(id)
      ids[#ids + 1] = id
    end
  end
  if #taken > 0 then call('SET', P .. 'take:' .. worker, table.concat(ids, ' '), 'PX', lease_duration) end
  if call('EXISTS', P .. 'queue') == 1 then wake() end
  return { taken, lost, next_due() }
end
return take(ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))`
  },
  enqueue: {
    sha: 'd2837d399aa63ae7963a303a15569fd254887ebe',
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
  if call('ZCOUNT', key, '-inf', '(0') == 0 then call('PEXPIRE', key, keep) end
end
local function index_active(key, id)
  local newest = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0)
  call('ZADD', key, -math.max(now, 1 - newest), id)
  call('PERSIST', key)
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  call('ZREMRANGEBYSCORE', key, 0, now - keep_task)
  index_expire(key, keep_index)
end
local function count(key, tenant, by)
  for _, field in ipairs({ tenant, '' }) do
    if call('HINCRBY', P .. key, field, by) <= 0 then call('HDEL', P .. key, field) end
  end
end
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
local function queue_front(id)
  call('ZADD', P .. 'queue', now - 1e15, id)
end
local function uncap(tenant)
  local head = call('ZPOPMIN', P .. 'capped:' .. tenant)
  if head[1] then
    call('ZADD', P .. 'queue', head[2], head[1])
    wake()
  end
end
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
local id, message, user, tenant, shared, same = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local key, body = ARGV[9], ARGV[10]
local index = P .. 'same:' .. same
if call('EXISTS', record(id)) == 1 then return { 'queued', read(id) } end
if key ~= '' then
  local seen = call('GET', P .. 'idempotency:' .. key)
  local known = seen and read(string.sub(seen, 1, 36))
  if known then
    if string.sub(seen, 37) ~= body then return { 'key_reused' } end
    return { 'replayed', known }
  end
end
local function remember(task_id, ttl)
  if key == '' then return end
  call('SET', P .. 'idempotency:' .. key, task_id .. body)
  if ttl then
    call('PEXPIRE', P .. 'idempotency:' .. key, ttl)
  else
    call('HSET', record(task_id), 'keys', (call('HGET', record(task_id), 'keys') or '') .. ' ' .. key)
  end
end
if ARGV[8] == '0' then
  local active = call('ZRANGEBYSCORE', index, '-inf', '(0', 'LIMIT', 0, 1)[1]
  if active then
    remember(active)
    return { 'already_active', read(active) }
  end
  local finished = call('ZREVRANGEBYSCORE', index, '+inf', '(0', 'LIMIT', 0, 1)[1]
  local known = finished and read(finished)
  if known then
    local chart = call('HGET', record(finished), 'chart')
    if chart ~= ARGV[17] and (ARGV[18] == '0' or call('EXISTS', P .. 'chart:' .. chart) == 1) then
      remember(finished, tonumber(call('HGET', record(finished), 'expires')) - now)
      return { 'chart_exists', known }
    end
  end
end
local function full(field, limit)
  return limit > 0 and tonumber(call('HGET', P .. 'waiting', field) or 0) >= limit
end
if full(tenant, tonumber(ARGV[11])) then return { 'tenant_full' } end
if full('', tonumber(ARGV[12])) then return { 'queue_full' } end
call('SET', P .. 'request:' .. id, ARGV[16])
call('HSET', record(id), 'format', 1, 'message', message, 'user', user, 'tenant', tenant, 'shared', shared, 'same', same,
  'keep', ARGV[13], 'max', ARGV[14], 'backoff', ARGV[15], 'keys', '', 'status', 'PENDING', 'step', 'queued', 'progress', 0,
  'created', now, 'attempt', 0, 'lease', 0)
remember(id)
queue_back(id)
count('waiting', tenant, 1)
index_active(index, id)
index_active(P .. 'message_tasks:' .. message .. ':' .. user, id)
announce(id)
wake()
return { 'queued', read(id) }`
  },
  extend: {
    sha: '3cb949c731e04eb0742a28ba4c6ab81a1d43a31a',
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
    sha: '4b8f671fca116d66b652b78a7458ec5741f1cad0',
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
return { active, found.COMPLETED, found.FAILED, others }`
  },
  progress: {
    sha: '4fd77eb465e3f77eacf18da43b45ce86bfbc159f',
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
    sha: 'bf3e8ff4b066267faa34608d80eceba03cf12b3e',
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
    sha: '50364950f5dd9a8e5985be02a47f28c9044abe6d',
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
local head = call('ZRANGE', P .. 'queue', 0, 0)[1]
return {
  tonumber(call('HGET', P .. 'waiting', '') or 0),
  call('ZCARD', P .. 'processing'),
  call('ZCARD', P .. 'delayed'),
  head and call('HGET', record(head), 'created') or false,
  tostring(now)
}`
  }
} as const
