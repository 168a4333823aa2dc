// Generated from lua/*.lua by scripts/generate-lua.js (npm run lua): change those, not this.

export type ScriptName = 'access' | 'batch' | 'cancelAll' | 'cancel' | 'checkpoint' | 'cleanup' | 'close' | 'contents' | 'dequeue' | 'ended' | 'enqueue' | 'extend' | 'list' | 'message' | 'outlook' | 'pause' | 'probe' | 'progress' | 'read' | 'settleAndClaim' | 'stats'

// Typed, lest the declarations of the package repeat every source.
export const scripts: Readonly<Record<ScriptName, { readonly sha: string, readonly source: string }>> = {
  access: {
    sha: '704dc070b11854278989dcbbcee05816fbc397d9',
    source: `#!lua flags=no-writes
local refused = {}
for i = 1, #ARGV, 3 do
  local command, first, other = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if not redis.acl_check_cmd(command, first, other, other, other) then refused[#refused + 1] = command end
end
return refused`
  },
  batch: {
    sha: '2b51eb2a435dd17e9712e8f8e762590e210fa069',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local function ref(id)
  local t = call('HMGET', record(id), 'created', 'completed', 'expires')
  if not t[1] or (t[3] and tonumber(t[3]) <= now) then return false end
  return { id, t[1], t[2] }
end
local t = call('HMGET', P .. 'batch:' .. ARGV[2], 'user', 'ids')
if not t[1] then return { false } end
local refs = {}
for id in string.gmatch(t[2], '%S+') do refs[#refs + 1] = ref(id) or nil end
if #refs == 0 then return { false } end
return { t[1], refs }`
  },
  cancelAll: {
    sha: '04fb4264aba9dc271f6e0d42b53f517e44b0ead2',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id, replaced)
  local newest = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  call('ZADD', key, -math.max(now, 1 - tonumber(newest or 0), 1 - tonumber(replaced or 0)), id)
  if newest then call('PERSIST', key) end
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  if newest <= 0 then return index_expire(key, keep_index) end
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local function is_superseded(id, message, user)
  local owner = message .. ':' .. user
  local newest = call('ZSCORE', P .. 'superseded', owner)
  local score = newest and call('ZSCORE', P .. 'message_tasks:' .. owner, id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
local RANK = 2 ^ 44
local ROUND = 60
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
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end
local function set_aside(tenant, by)
  local aside = tenant and call('HINCRBY', P .. 'scheduled', tenant, by)
  if aside and aside <= 0 then call('HDEL', P .. 'scheduled', tenant) end
  if aside and aside < 0 then return end
  if call('HINCRBY', P .. 'scheduled', '', by) <= 0 then call('HDEL', P .. 'scheduled', '') end
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
local function queue_back(id, tenant, priority, patience, weight)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local length = math.floor(ROUND / (weight or 1))
  local turn = call('HINCRBY', P .. 'turns:' .. priority, tenant, length)
  if turn < round + length then
    turn = round + length
    call('HSET', P .. 'turns:' .. priority, tenant, turn)
  end
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
  if patience then call('ZADD', P .. 'deadlines', now + patience, id) end
end
local function admit(id, tenant, priority, run_at, patience, weight)
  if run_at > now then
    call('ZADD', P .. 'delayed', run_at, id)
    return 'scheduled', run_at
  end
  queue_back(id, tenant, priority, patience, weight)
  return 'queued', now
end
local MOST_TRIES = 20
local MOST_ASIDE = 100
local unparked = 0
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
local function preferred(tenant)
  local id = call('HGET', P .. 'turns:low', '=' .. tenant)
  if not id then return end
  call('HDEL', P .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end
local function unpark(tenant, cap)
  local key = P .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  local room = cap == 0 and MOST_ASIDE or math.max(1, (cap or 0) - (tonumber(call('HGET', P .. 'running', tenant) or 0)))
  for _ = 1, math.max(1, math.min(room, MOST_ASIDE - unparked)) do
    unparked = unparked + 1
    local id, score = unpack(next_parked(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    enter(QUEUES[math.floor(score / RANK)], id, score % RANK)
  end
  wake()
end
local function give_back(id, tenant, priority, weight)
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', P .. 'capped:' .. tenant, id)
  if score and math.floor(score % RANK) == tonumber(call('HGET', P .. 'turns:' .. priority, tenant)) then
    call('HINCRBY', P .. 'turns:' .. priority, tenant, -math.floor(ROUND / (weight or 1)))
  end
end
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
local function requeue(id, tenant, step, delay, verb, code, message)
  local t = call('HMGET', record(id), 'attempt', 'lease', 'worker', 'trace', 'step', 'progress', 'history')
  local attempt, lease, worker, trace, last_step, progress, history = unpack(t)
  local tries = cjson.decode(history or '[]')
  local started = trace and cjson.decode(trace)[1][2] or now
  tries[#tries + 1] = { attempt, lease, worker or '', started, now, verb, last_step, progress, code or '', message or '' }
  if #tries > MOST_TRIES then table.remove(tries, 1) end
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
local ended, has_ended, untold = {}, {}, {}
local MOST_MOVED = 25
local moved = 0
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local MOST_KEPT = 1024
local function shorten(id)
  if call('STRLEN', request(id)) <= MOST_KEPT then return end
  local raw = call('GET', request(id))
  local query = string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MOST_KEPT then value = 'null' end
  call('SET', request(id), string.sub(raw, 1, query + 19) .. value .. '}', 'KEEPTTL')
  call('HSET', record(id), 'shortened', 1)
end
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
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches', 'lease', 'tenant')
  local message, user, shared, same, keep, keys, batches, lease, tenant = unpack(t)
  ended[#ended + 1], has_ended[id], untold[#untold + 1] = id, true, { id, status == 'COMPLETED' }
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
local function tell_one(id, completed)
  local t = call('HMGET', record(id), 'tenant', 'priority', 'run_at', 'patience', 'weight', 'message', 'user')
  if not t[1] then return end
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
local function tell(id, completed)
  local key = P .. 'dependents:' .. id
  for _, dependent in ipairs(call('ZRANGE', key, 0, math.max(0, MOST_MOVED - moved))) do
    if moved >= MOST_MOVED then return false end
    call('ZREM', key, dependent)
    tell_one(dependent, completed)
  end
  return true
end
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
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  local staying = {}
  for id, of in pairs(kept) do
    local score = of == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, message, string.sub(owner, 38)) then staying[#staying + 1] = { id, tonumber(score) } end
  end
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
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', P .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MOST_MOVED - moved
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    if not put_cancelled(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', P .. 'superseded', owner) end
  return true
end
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
  if not unsettled then wake() end
  call('SET', P .. 'unsettled', 1)
  return true
end
for i = 2, #ARGV do put_cancelled(ARGV[i]) end
settle(false)
return others({})`
  },
  cancel: {
    sha: '5580e06763f84caeb85005ae088b44185dcfd82e',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id, replaced)
  local newest = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  call('ZADD', key, -math.max(now, 1 - tonumber(newest or 0), 1 - tonumber(replaced or 0)), id)
  if newest then call('PERSIST', key) end
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  if newest <= 0 then return index_expire(key, keep_index) end
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local function is_superseded(id, message, user)
  local owner = message .. ':' .. user
  local newest = call('ZSCORE', P .. 'superseded', owner)
  local score = newest and call('ZSCORE', P .. 'message_tasks:' .. owner, id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
local RANK = 2 ^ 44
local ROUND = 60
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
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end
local function set_aside(tenant, by)
  local aside = tenant and call('HINCRBY', P .. 'scheduled', tenant, by)
  if aside and aside <= 0 then call('HDEL', P .. 'scheduled', tenant) end
  if aside and aside < 0 then return end
  if call('HINCRBY', P .. 'scheduled', '', by) <= 0 then call('HDEL', P .. 'scheduled', '') end
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
local function queue_back(id, tenant, priority, patience, weight)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local length = math.floor(ROUND / (weight or 1))
  local turn = call('HINCRBY', P .. 'turns:' .. priority, tenant, length)
  if turn < round + length then
    turn = round + length
    call('HSET', P .. 'turns:' .. priority, tenant, turn)
  end
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
  if patience then call('ZADD', P .. 'deadlines', now + patience, id) end
end
local function admit(id, tenant, priority, run_at, patience, weight)
  if run_at > now then
    call('ZADD', P .. 'delayed', run_at, id)
    return 'scheduled', run_at
  end
  queue_back(id, tenant, priority, patience, weight)
  return 'queued', now
end
local MOST_TRIES = 20
local MOST_ASIDE = 100
local unparked = 0
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
local function preferred(tenant)
  local id = call('HGET', P .. 'turns:low', '=' .. tenant)
  if not id then return end
  call('HDEL', P .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end
local function unpark(tenant, cap)
  local key = P .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  local room = cap == 0 and MOST_ASIDE or math.max(1, (cap or 0) - (tonumber(call('HGET', P .. 'running', tenant) or 0)))
  for _ = 1, math.max(1, math.min(room, MOST_ASIDE - unparked)) do
    unparked = unparked + 1
    local id, score = unpack(next_parked(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    enter(QUEUES[math.floor(score / RANK)], id, score % RANK)
  end
  wake()
end
local function give_back(id, tenant, priority, weight)
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', P .. 'capped:' .. tenant, id)
  if score and math.floor(score % RANK) == tonumber(call('HGET', P .. 'turns:' .. priority, tenant)) then
    call('HINCRBY', P .. 'turns:' .. priority, tenant, -math.floor(ROUND / (weight or 1)))
  end
end
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
local function requeue(id, tenant, step, delay, verb, code, message)
  local t = call('HMGET', record(id), 'attempt', 'lease', 'worker', 'trace', 'step', 'progress', 'history')
  local attempt, lease, worker, trace, last_step, progress, history = unpack(t)
  local tries = cjson.decode(history or '[]')
  local started = trace and cjson.decode(trace)[1][2] or now
  tries[#tries + 1] = { attempt, lease, worker or '', started, now, verb, last_step, progress, code or '', message or '' }
  if #tries > MOST_TRIES then table.remove(tries, 1) end
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
local ended, has_ended, untold = {}, {}, {}
local MOST_MOVED = 25
local moved = 0
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local MOST_KEPT = 1024
local function shorten(id)
  if call('STRLEN', request(id)) <= MOST_KEPT then return end
  local raw = call('GET', request(id))
  local query = string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MOST_KEPT then value = 'null' end
  call('SET', request(id), string.sub(raw, 1, query + 19) .. value .. '}', 'KEEPTTL')
  call('HSET', record(id), 'shortened', 1)
end
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
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches', 'lease', 'tenant')
  local message, user, shared, same, keep, keys, batches, lease, tenant = unpack(t)
  ended[#ended + 1], has_ended[id], untold[#untold + 1] = id, true, { id, status == 'COMPLETED' }
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
local function tell_one(id, completed)
  local t = call('HMGET', record(id), 'tenant', 'priority', 'run_at', 'patience', 'weight', 'message', 'user')
  if not t[1] then return end
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
local function tell(id, completed)
  local key = P .. 'dependents:' .. id
  for _, dependent in ipairs(call('ZRANGE', key, 0, math.max(0, MOST_MOVED - moved))) do
    if moved >= MOST_MOVED then return false end
    call('ZREM', key, dependent)
    tell_one(dependent, completed)
  end
  return true
end
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
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  local staying = {}
  for id, of in pairs(kept) do
    local score = of == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, message, string.sub(owner, 38)) then staying[#staying + 1] = { id, tonumber(score) } end
  end
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
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', P .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MOST_MOVED - moved
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    if not put_cancelled(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', P .. 'superseded', owner) end
  return true
end
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
  if not unsettled then wake() end
  call('SET', P .. 'unsettled', 1)
  return true
end
local id = ARGV[2]
local known = read(id)
if not (known and put_cancelled(id)) then return { known, {}, 0 } end
local unsettled = settle(false)
return { read(id), others({}), unsettled and 1 or 0 }`
  },
  checkpoint: {
    sha: '240ff4d8a21b008a5741fb1faa1952a1cc01022f',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
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
    sha: '2ca5bbfd4e61a5e34f229240ee63d5b3c60122e7',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local ids = call('ZRANGEBYSCORE', P .. 'finished', '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
for _, id in ipairs(ids) do
  local chart = call('HGET', record(id), 'chart')
  if chart then call('DEL', P .. 'chart:' .. chart) end
  call('DEL', record(id), details(id), request(id))
  call('ZREM', P .. 'finished', id)
end
for _, id in ipairs(call('ZRANDMEMBER', P .. 'active', 100)) do
  local status = call('HGET', record(id), 'status')
  if status ~= 'PENDING' and status ~= 'PROCESSING' then call('ZREM', P .. 'active', id) end
end
return #ids`
  },
  close: {
    sha: '0987f6e5fe922b33193975df5043efe439f8a58b',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local expected = tonumber(ARGV[#ARGV])
local ended_by = expected and math.min(now, expected) or now
local TOLERANCE = 2000
local MOST_MOVED = 1000
local function move(key, by, moves)
  local due = call('ZRANGE', P .. key, 0, MOST_MOVED - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    if not moves or moves(due[i]) then call('ZADD', P .. key, due[i + 1] - by, due[i]) end
  end
end
local function set_back(by)
  local mended = tonumber(call('GET', P .. 'set_back') or nil)
  if mended and math.abs(mended - by) <= TOLERANCE then return end
  call('SET', P .. 'set_back', by, 'PX', 600000)
  move('processing', by)
  move('deadlines', by)
  move('delayed', by, function(id) return call('HGET', record(id), 'step') == 'retrying' end)
end
if expected and expected - now > TOLERANCE then set_back(expected - now) end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id, replaced)
  local newest = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  call('ZADD', key, -math.max(now, 1 - tonumber(newest or 0), 1 - tonumber(replaced or 0)), id)
  if newest then call('PERSIST', key) end
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  if newest <= 0 then return index_expire(key, keep_index) end
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local function is_superseded(id, message, user)
  local owner = message .. ':' .. user
  local newest = call('ZSCORE', P .. 'superseded', owner)
  local score = newest and call('ZSCORE', P .. 'message_tasks:' .. owner, id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
local RANK = 2 ^ 44
local ROUND = 60
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
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end
local function set_aside(tenant, by)
  local aside = tenant and call('HINCRBY', P .. 'scheduled', tenant, by)
  if aside and aside <= 0 then call('HDEL', P .. 'scheduled', tenant) end
  if aside and aside < 0 then return end
  if call('HINCRBY', P .. 'scheduled', '', by) <= 0 then call('HDEL', P .. 'scheduled', '') end
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
local function queue_back(id, tenant, priority, patience, weight)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local length = math.floor(ROUND / (weight or 1))
  local turn = call('HINCRBY', P .. 'turns:' .. priority, tenant, length)
  if turn < round + length then
    turn = round + length
    call('HSET', P .. 'turns:' .. priority, tenant, turn)
  end
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
  if patience then call('ZADD', P .. 'deadlines', now + patience, id) end
end
local function admit(id, tenant, priority, run_at, patience, weight)
  if run_at > now then
    call('ZADD', P .. 'delayed', run_at, id)
    return 'scheduled', run_at
  end
  queue_back(id, tenant, priority, patience, weight)
  return 'queued', now
end
local MOST_TRIES = 20
local MOST_ASIDE = 100
local unparked = 0
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
local function preferred(tenant)
  local id = call('HGET', P .. 'turns:low', '=' .. tenant)
  if not id then return end
  call('HDEL', P .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end
local function unpark(tenant, cap)
  local key = P .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  local room = cap == 0 and MOST_ASIDE or math.max(1, (cap or 0) - (tonumber(call('HGET', P .. 'running', tenant) or 0)))
  for _ = 1, math.max(1, math.min(room, MOST_ASIDE - unparked)) do
    unparked = unparked + 1
    local id, score = unpack(next_parked(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    enter(QUEUES[math.floor(score / RANK)], id, score % RANK)
  end
  wake()
end
local function give_back(id, tenant, priority, weight)
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', P .. 'capped:' .. tenant, id)
  if score and math.floor(score % RANK) == tonumber(call('HGET', P .. 'turns:' .. priority, tenant)) then
    call('HINCRBY', P .. 'turns:' .. priority, tenant, -math.floor(ROUND / (weight or 1)))
  end
end
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
local function requeue(id, tenant, step, delay, verb, code, message)
  local t = call('HMGET', record(id), 'attempt', 'lease', 'worker', 'trace', 'step', 'progress', 'history')
  local attempt, lease, worker, trace, last_step, progress, history = unpack(t)
  local tries = cjson.decode(history or '[]')
  local started = trace and cjson.decode(trace)[1][2] or now
  tries[#tries + 1] = { attempt, lease, worker or '', started, now, verb, last_step, progress, code or '', message or '' }
  if #tries > MOST_TRIES then table.remove(tries, 1) end
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
local ended, has_ended, untold = {}, {}, {}
local MOST_MOVED = 25
local moved = 0
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local MOST_KEPT = 1024
local function shorten(id)
  if call('STRLEN', request(id)) <= MOST_KEPT then return end
  local raw = call('GET', request(id))
  local query = string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MOST_KEPT then value = 'null' end
  call('SET', request(id), string.sub(raw, 1, query + 19) .. value .. '}', 'KEEPTTL')
  call('HSET', record(id), 'shortened', 1)
end
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
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches', 'lease', 'tenant')
  local message, user, shared, same, keep, keys, batches, lease, tenant = unpack(t)
  ended[#ended + 1], has_ended[id], untold[#untold + 1] = id, true, { id, status == 'COMPLETED' }
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
local function tell_one(id, completed)
  local t = call('HMGET', record(id), 'tenant', 'priority', 'run_at', 'patience', 'weight', 'message', 'user')
  if not t[1] then return end
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
local function tell(id, completed)
  local key = P .. 'dependents:' .. id
  for _, dependent in ipairs(call('ZRANGE', key, 0, math.max(0, MOST_MOVED - moved))) do
    if moved >= MOST_MOVED then return false end
    call('ZREM', key, dependent)
    tell_one(dependent, completed)
  end
  return true
end
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
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  local staying = {}
  for id, of in pairs(kept) do
    local score = of == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, message, string.sub(owner, 38)) then staying[#staying + 1] = { id, tonumber(score) } end
  end
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
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', P .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MOST_MOVED - moved
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    if not put_cancelled(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', P .. 'superseded', owner) end
  return true
end
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
  if not unsettled then wake() end
  call('SET', P .. 'unsettled', 1)
  return true
end
local function weigh(known)
  local bytes = #(known[4] or '')
  for _, part in ipairs({ 2, 3, 6 }) do
    for _, text in ipairs(known[part] or {}) do bytes = bytes + #text end
  end
  return bytes
end
local MOST_DUE, MOST_HANDED = 25, 500
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
local function was_held(trace)
  local steps = cjson.decode(trace or '[]')
  return #steps == 1 and steps[1][1] == 'queued'
end
local expired = {}
local function expire(cap, unsettled)
  for _, id in ipairs(due_in('processing', ended_by)) do
    local attempt, max, tenant, worker, trace = unpack(call('HMGET', record(id), 'attempt', 'max', 'tenant', 'worker', 'trace'))
    if not tenant then
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
local MOST_TAKEN = 4 * 2 ^ 20
local function handed(known, lease, lost)
  if lease == 1 then return known, #(known[4] or '') end
  known[6], known[7] = call('HGETALL', checkpoints(known[1])), lost
  return known, weigh(known)
end
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
local function end_replaced(id, at, score)
  if not is_replaced(id) then return false end
  local name = QUEUES[at]
  call('ZADD', queue(name), score, id)
  if STRIDE[name] then call('HINCRBY', P .. 'shares', name, -STRIDE[name]) end
  return put_cancelled(id)
end
local function record_to_start(id) return call('HMGET', record(id), 'tenant', 'attempt', 'lease', 'version', 'started', 'patience') end
local function notes_for(worker) return call('MGET', P .. 'take:' .. worker, P .. 'paused', P .. 'unsettled') end
local function take(own, worker, take_id, wanted, lease_duration, running_per_tenant, beside, notes)
  local taken = {}
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
      aside = aside + 1
    elseif unsettled and end_replaced(id, at, score) then
      aside = aside + 1
    elseif capped and tonumber(call('HGET', P .. 'running', tenant) or 0) >= running_per_tenant then
      park(id, tenant, at, score)
      aside = aside + 1
    else
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
  if not paused and any_queued() then wake() end
  return { taken, others(own), next_due(unsettled), tostring(now), unsettled and 1 or 0, expired }
end
local function backoff(policy, attempt, random)
  local kind, delay, max, jitter = string.match(policy, '(%S+) (%S+) (%S+) (%S+)')
  local ms = tonumber(delay)
  if kind == 'exponential' then ms = ms * 2 ^ (attempt - 1) end
  return math.floor(math.min(ms, tonumber(max)) * (1 - tonumber(jitter) * random))
end
local verbs = {}
function verbs.complete(id, t, chart, content)
  if content ~= '' then call('SET', P .. 'chart:' .. chart, content, 'PX', tonumber(string.match(t.keep, '%d+'))) end
  put_final(id, 'COMPLETED', { 'chart', chart, 'progress', 100 })
end
function verbs.fail(id, t, code, message, delay, random)
  if delay == 'never' or t.attempt >= t.max then
    put_final(id, 'FAILED', { 'code', code, 'error', message })
  else
    requeue(id, t.tenant, 'retrying', tonumber(delay) or backoff(t.backoff, t.attempt, tonumber(random)), 'fail', code, message)
  end
end
function verbs.release(id, t)
  requeue(id, t.tenant, 'queued', 0, 'release')
end
local closed, own, cap = {}, {}, ARGV[2] ~= '' and tonumber(ARGV[6]) or nil
local notes = ARGV[2] ~= '' and notes_for(ARGV[2]) or { false, false, call('GET', P .. 'unsettled') }
for i = 8, #ARGV - 1, 7 do
  local id, lease, verb = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local current, status, last_verb, tenant, keep, attempt, max, policy =
    unpack(call('HMGET', record(id), 'lease', 'status', 'closed', 'tenant', 'keep', 'attempt', 'max', 'backoff'))
  local answer = { 'stale' }
  if notes[3] and status == 'PROCESSING' and is_replaced(id) then
    put_cancelled(id)
    status = 'CANCELLED'
  end
  if current == lease and status == 'PROCESSING' then
    close_lease(id, tenant, verb, cap)
    local t = { tenant = tenant, keep = keep, attempt = tonumber(attempt), max = tonumber(max), backoff = policy }
    verbs[verb](id, t, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    answer = { 'ok', has_ended[id] and read(id) or nil }
  elseif current == lease and last_verb == verb then
    answer = { 'ok', (status == 'COMPLETED' or status == 'FAILED') and read(id) or nil }
  end
  own[id] = own[id] or answer[1] == 'ok'
  closed[#closed + 1] = answer
end
if ARGV[2] == '' then
  local unsettled = settle(false) or notes[3]
  return { closed, { {}, others(own), next_due(unsettled), tostring(now), unsettled and 1 or 0, {} } }
end
return { closed, take(own, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), notes) }`
  },
  contents: {
    sha: 'f1cc9185cb92d040798051190d1e0871ef3d6150',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local contents, room = {}, tonumber(ARGV[2])
for i = 3, #ARGV do
  local key = P .. 'chart:' .. ARGV[i]
  local bytes = call('STRLEN', key)
  if bytes == 0 then
    contents[#contents + 1] = false
  elseif bytes <= room then
    room = room - bytes
    contents[#contents + 1] = call('GET', key)
  else
    contents[#contents + 1] = bytes
    break
  end
end
return contents`
  },
  dequeue: {
    sha: '98aa2fca35789ed4ded04193820bb5a626dbc95e',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local expected = tonumber(ARGV[#ARGV])
local ended_by = expected and math.min(now, expected) or now
local TOLERANCE = 2000
local MOST_MOVED = 1000
local function move(key, by, moves)
  local due = call('ZRANGE', P .. key, 0, MOST_MOVED - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    if not moves or moves(due[i]) then call('ZADD', P .. key, due[i + 1] - by, due[i]) end
  end
end
local function set_back(by)
  local mended = tonumber(call('GET', P .. 'set_back') or nil)
  if mended and math.abs(mended - by) <= TOLERANCE then return end
  call('SET', P .. 'set_back', by, 'PX', 600000)
  move('processing', by)
  move('deadlines', by)
  move('delayed', by, function(id) return call('HGET', record(id), 'step') == 'retrying' end)
end
if expected and expected - now > TOLERANCE then set_back(expected - now) end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id, replaced)
  local newest = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  call('ZADD', key, -math.max(now, 1 - tonumber(newest or 0), 1 - tonumber(replaced or 0)), id)
  if newest then call('PERSIST', key) end
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  if newest <= 0 then return index_expire(key, keep_index) end
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local function is_superseded(id, message, user)
  local owner = message .. ':' .. user
  local newest = call('ZSCORE', P .. 'superseded', owner)
  local score = newest and call('ZSCORE', P .. 'message_tasks:' .. owner, id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
local RANK = 2 ^ 44
local ROUND = 60
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
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end
local function set_aside(tenant, by)
  local aside = tenant and call('HINCRBY', P .. 'scheduled', tenant, by)
  if aside and aside <= 0 then call('HDEL', P .. 'scheduled', tenant) end
  if aside and aside < 0 then return end
  if call('HINCRBY', P .. 'scheduled', '', by) <= 0 then call('HDEL', P .. 'scheduled', '') end
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
local function queue_back(id, tenant, priority, patience, weight)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local length = math.floor(ROUND / (weight or 1))
  local turn = call('HINCRBY', P .. 'turns:' .. priority, tenant, length)
  if turn < round + length then
    turn = round + length
    call('HSET', P .. 'turns:' .. priority, tenant, turn)
  end
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
  if patience then call('ZADD', P .. 'deadlines', now + patience, id) end
end
local function admit(id, tenant, priority, run_at, patience, weight)
  if run_at > now then
    call('ZADD', P .. 'delayed', run_at, id)
    return 'scheduled', run_at
  end
  queue_back(id, tenant, priority, patience, weight)
  return 'queued', now
end
local MOST_TRIES = 20
local MOST_ASIDE = 100
local unparked = 0
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
local function preferred(tenant)
  local id = call('HGET', P .. 'turns:low', '=' .. tenant)
  if not id then return end
  call('HDEL', P .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end
local function unpark(tenant, cap)
  local key = P .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  local room = cap == 0 and MOST_ASIDE or math.max(1, (cap or 0) - (tonumber(call('HGET', P .. 'running', tenant) or 0)))
  for _ = 1, math.max(1, math.min(room, MOST_ASIDE - unparked)) do
    unparked = unparked + 1
    local id, score = unpack(next_parked(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    enter(QUEUES[math.floor(score / RANK)], id, score % RANK)
  end
  wake()
end
local function give_back(id, tenant, priority, weight)
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', P .. 'capped:' .. tenant, id)
  if score and math.floor(score % RANK) == tonumber(call('HGET', P .. 'turns:' .. priority, tenant)) then
    call('HINCRBY', P .. 'turns:' .. priority, tenant, -math.floor(ROUND / (weight or 1)))
  end
end
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
local function requeue(id, tenant, step, delay, verb, code, message)
  local t = call('HMGET', record(id), 'attempt', 'lease', 'worker', 'trace', 'step', 'progress', 'history')
  local attempt, lease, worker, trace, last_step, progress, history = unpack(t)
  local tries = cjson.decode(history or '[]')
  local started = trace and cjson.decode(trace)[1][2] or now
  tries[#tries + 1] = { attempt, lease, worker or '', started, now, verb, last_step, progress, code or '', message or '' }
  if #tries > MOST_TRIES then table.remove(tries, 1) end
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
local ended, has_ended, untold = {}, {}, {}
local MOST_MOVED = 25
local moved = 0
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local MOST_KEPT = 1024
local function shorten(id)
  if call('STRLEN', request(id)) <= MOST_KEPT then return end
  local raw = call('GET', request(id))
  local query = string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MOST_KEPT then value = 'null' end
  call('SET', request(id), string.sub(raw, 1, query + 19) .. value .. '}', 'KEEPTTL')
  call('HSET', record(id), 'shortened', 1)
end
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
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches', 'lease', 'tenant')
  local message, user, shared, same, keep, keys, batches, lease, tenant = unpack(t)
  ended[#ended + 1], has_ended[id], untold[#untold + 1] = id, true, { id, status == 'COMPLETED' }
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
local function tell_one(id, completed)
  local t = call('HMGET', record(id), 'tenant', 'priority', 'run_at', 'patience', 'weight', 'message', 'user')
  if not t[1] then return end
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
local function tell(id, completed)
  local key = P .. 'dependents:' .. id
  for _, dependent in ipairs(call('ZRANGE', key, 0, math.max(0, MOST_MOVED - moved))) do
    if moved >= MOST_MOVED then return false end
    call('ZREM', key, dependent)
    tell_one(dependent, completed)
  end
  return true
end
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
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  local staying = {}
  for id, of in pairs(kept) do
    local score = of == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, message, string.sub(owner, 38)) then staying[#staying + 1] = { id, tonumber(score) } end
  end
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
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', P .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MOST_MOVED - moved
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    if not put_cancelled(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', P .. 'superseded', owner) end
  return true
end
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
  if not unsettled then wake() end
  call('SET', P .. 'unsettled', 1)
  return true
end
local function weigh(known)
  local bytes = #(known[4] or '')
  for _, part in ipairs({ 2, 3, 6 }) do
    for _, text in ipairs(known[part] or {}) do bytes = bytes + #text end
  end
  return bytes
end
local MOST_DUE, MOST_HANDED = 25, 500
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
local function was_held(trace)
  local steps = cjson.decode(trace or '[]')
  return #steps == 1 and steps[1][1] == 'queued'
end
local expired = {}
local function expire(cap, unsettled)
  for _, id in ipairs(due_in('processing', ended_by)) do
    local attempt, max, tenant, worker, trace = unpack(call('HMGET', record(id), 'attempt', 'max', 'tenant', 'worker', 'trace'))
    if not tenant then
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
local MOST_TAKEN = 4 * 2 ^ 20
local function handed(known, lease, lost)
  if lease == 1 then return known, #(known[4] or '') end
  known[6], known[7] = call('HGETALL', checkpoints(known[1])), lost
  return known, weigh(known)
end
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
local function end_replaced(id, at, score)
  if not is_replaced(id) then return false end
  local name = QUEUES[at]
  call('ZADD', queue(name), score, id)
  if STRIDE[name] then call('HINCRBY', P .. 'shares', name, -STRIDE[name]) end
  return put_cancelled(id)
end
local function record_to_start(id) return call('HMGET', record(id), 'tenant', 'attempt', 'lease', 'version', 'started', 'patience') end
local function notes_for(worker) return call('MGET', P .. 'take:' .. worker, P .. 'paused', P .. 'unsettled') end
local function take(own, worker, take_id, wanted, lease_duration, running_per_tenant, beside, notes)
  local taken = {}
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
      aside = aside + 1
    elseif unsettled and end_replaced(id, at, score) then
      aside = aside + 1
    elseif capped and tonumber(call('HGET', P .. 'running', tenant) or 0) >= running_per_tenant then
      park(id, tenant, at, score)
      aside = aside + 1
    else
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
  if not paused and any_queued() then wake() end
  return { taken, others(own), next_due(unsettled), tostring(now), unsettled and 1 or 0, expired }
end
return take({}, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), notes_for(ARGV[2]))`
  },
  ended: {
    sha: 'e91e273b5648eb6cd7bb8782f62d020dc7b58dc7',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local function ref(id)
  local t = call('HMGET', record(id), 'created', 'completed', 'expires')
  if not t[1] or (t[3] and tonumber(t[3]) <= now) then return false end
  return { id, t[1], t[2] }
end
local mine = P .. 'message_tasks:' .. ARGV[2] .. ':' .. ARGV[3]
local since, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local PAGE, MOST_READ = 100, 2000
local ended = {}
for offset = 0, MOST_READ - PAGE, PAGE do
  local ids = call('ZREVRANGEBYSCORE', mine, '+inf', string.format('%.0f', math.max(1, since)), 'LIMIT', offset, PAGE)
  for _, id in ipairs(ids) do
    local known = #ended < limit and ref(id)
    if known and tonumber(known[3] or 0) >= since then ended[#ended + 1] = known end
  end
  if #ids < PAGE or #ended == limit then break end
end
return { ended, tostring(now) }`
  },
  enqueue: {
    sha: '92893403565704b473df471513d1af60e2cc63d1',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id, replaced)
  local newest = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  call('ZADD', key, -math.max(now, 1 - tonumber(newest or 0), 1 - tonumber(replaced or 0)), id)
  if newest then call('PERSIST', key) end
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  if newest <= 0 then return index_expire(key, keep_index) end
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local function is_superseded(id, message, user)
  local owner = message .. ':' .. user
  local newest = call('ZSCORE', P .. 'superseded', owner)
  local score = newest and call('ZSCORE', P .. 'message_tasks:' .. owner, id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
local RANK = 2 ^ 44
local ROUND = 60
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
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end
local function set_aside(tenant, by)
  local aside = tenant and call('HINCRBY', P .. 'scheduled', tenant, by)
  if aside and aside <= 0 then call('HDEL', P .. 'scheduled', tenant) end
  if aside and aside < 0 then return end
  if call('HINCRBY', P .. 'scheduled', '', by) <= 0 then call('HDEL', P .. 'scheduled', '') end
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
local function queue_back(id, tenant, priority, patience, weight)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local length = math.floor(ROUND / (weight or 1))
  local turn = call('HINCRBY', P .. 'turns:' .. priority, tenant, length)
  if turn < round + length then
    turn = round + length
    call('HSET', P .. 'turns:' .. priority, tenant, turn)
  end
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
  if patience then call('ZADD', P .. 'deadlines', now + patience, id) end
end
local function admit(id, tenant, priority, run_at, patience, weight)
  if run_at > now then
    call('ZADD', P .. 'delayed', run_at, id)
    return 'scheduled', run_at
  end
  queue_back(id, tenant, priority, patience, weight)
  return 'queued', now
end
local function find_alike(draft, user, charts_inside)
  local id, score = unpack(call('ZRANGE', P .. 'same:' .. draft.same, 0, 0, 'WITHSCORES'))
  if not id then return end
  if tonumber(score) < 0 then
    if not is_superseded(id, draft.message, user) then return id, 'already_active' end
    id, score = unpack(call('ZRANGE', P .. 'same:' .. draft.same, -1, -1, 'WITHSCORES'))
    if tonumber(score) < 0 then return end
  end
  if not read(id) then return end
  local chart = call('HGET', record(id), 'chart')
  if chart == draft.asked and not draft.kept then return end
  if charts_inside and call('EXISTS', P .. 'chart:' .. chart) == 0 then return end
  return id, 'chart_exists', not charts_inside and chart ~= draft.asked and chart or nil
end
local function match_alike(drafts, user, charts_inside)
  local by_id, planned, fresh, unasked = {}, {}, {}, {}
  for _, draft in ipairs(drafts) do by_id[draft.id] = draft end
  local function match(draft)
    if draft.deps then return end
    draft.deps = {}
    for need in string.gmatch(draft.needs, '%S+') do
      if by_id[need] then match(by_id[need]) end
      draft.deps[#draft.deps + 1] = by_id[need] and by_id[need].becomes or need
    end
    if #draft.deps > 0 then draft.same = redis.sha1hex(draft.same .. ' ' .. table.concat(draft.deps, ' ')) end
    if planned[draft.same] and not draft.force and not draft.known then
      draft.becomes, draft.outcome = planned[draft.same], 'already_active'
    elseif not draft.force and not draft.known then
      local chart
      draft.becomes, draft.outcome, chart = find_alike(draft, user, charts_inside)
      if chart then unasked[#unasked + 1] = { draft.id, chart } end
    end
    if not draft.becomes then
      draft.becomes, draft.outcome, draft.fresh = draft.id, 'queued', not draft.known
      planned[draft.same] = draft.id
    end
  end
  for _, draft in ipairs(drafts) do match(draft) end
  for _, draft in ipairs(drafts) do
    if draft.fresh then fresh[#fresh + 1] = draft end
  end
  return by_id, fresh, #unasked > 0 and { 'charts_unasked', unasked }
end
local function resolve_needs(by_id, fresh, user, any_replaced)
  local known = {}
  for _, draft in ipairs(fresh) do
    draft.waits = {}
    local needs = string.gmatch(draft.needs, '%S+')
    for _, dep in ipairs(draft.deps) do
      local need = needs()
      local t = known[dep] or call('HMGET', record(dep), 'status', 'user', 'expires', 'message')
      known[dep] = t
      if not (by_id[dep] and by_id[dep].fresh) then
        if not t[1] or t[2] ~= user or (t[3] and tonumber(t[3]) <= now) then return { 'dependency_unknown', need } end
        if t[1] == 'FAILED' or t[1] == 'CANCELLED' or (any_replaced and is_superseded(dep, t[4], user)) then return { 'dependency_failed', need } end
      end
      if t[1] ~= 'COMPLETED' and not draft.waits[dep] then
        draft.waits[dep], draft.waits[#draft.waits + 1] = true, dep
      end
    end
  end
end
local MOST_ANSWERED = 100
local function answers_for(id, field) return select(2, string.gsub(call('HGET', record(id), field) or '', '%S+', '')) end
local function find_crowded(drafts)
  for _, draft in ipairs(drafts) do
    if draft.outcome == 'already_active' and answers_for(draft.becomes, 'batches') >= MOST_ANSWERED then return { 'task_crowded', draft.id } end
  end
end
local function keep_needed(kept)
  local open = {}
  for id in pairs(kept) do open[#open + 1] = id end
  while #open > 0 do
    local id = table.remove(open)
    local t = call('HMGET', record(id), 'left', 'deps', 'message')
    kept[id] = t[3] or ''
    for dep in string.gmatch(tonumber(t[1] or 0) > 0 and t[2] or '', '%S+') do
      if not kept[dep] then kept[dep], open[#open + 1] = '', dep end
    end
  end
end
local MOST_ENDED = 25
local function find_older(drafts, user)
  local kept, owners, seen, count = {}, {}, {}, 0
  for _, draft in ipairs(drafts) do
    local owner = draft.message .. ':' .. user
    if draft.supersede and not seen[owner] then
      local active = call('ZCOUNT', P .. 'message_tasks:' .. owner, '-inf', '(0')
      if active > 0 then owners[#owners + 1] = owner end
      seen[owner], count = true, count + active
    end
  end
  if count == 0 then return {}, {}, kept end
  for _, draft in ipairs(drafts) do
    kept[draft.becomes] = ''
    for _, dep in ipairs(draft.fresh and draft.deps or {}) do kept[dep] = '' end
  end
  keep_needed(kept)
  if count > MOST_ENDED then return {}, owners, kept end
  local older = {}
  for _, owner in ipairs(owners) do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, '-inf', '(0')) do
      if not kept[id] then older[#older + 1] = id end
    end
  end
  return older, {}, kept
end
local function count_room(older, owners, kept, tenant, over)
  local room, looked, seen = { waiting = 0, scheduled = 0, ready = 0 }, 0, {}
  local function is_enough()
    return looked == 1000 or (room.waiting >= over.waiting and room.scheduled >= over.scheduled and room.ready >= over.ready and
      room.waiting + room.scheduled >= over.both)
  end
  local function look(ids)
    for _, id in ipairs(ids) do
      if is_enough() then return true end
      if not kept[id] and not seen[id] then
        local status, owner, step = unpack(call('HMGET', record(id), 'status', 'tenant', 'step'))
        seen[id], looked = true, looked + 1
        if status == 'PENDING' then
          local kind = is_scheduled(step) and 'scheduled' or 'waiting'
          if owner == tenant then room[kind] = room[kind] + 1 end
          if kind == 'waiting' and not call('ZSCORE', P .. 'delayed', id) then room.ready = room.ready + 1 end
        end
      end
    end
  end
  local function look_at(owner, newest)
    for from = 0, 999, 100 do
      local ids = call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, newest, '(0', 'LIMIT', from, 100)
      if look(ids) then return true end
      if #ids < 100 then return end
    end
  end
  if look(older) then return room end
  for _, owner in ipairs(owners) do
    if look_at(owner, '-inf') then return room end
  end
  local replaced = call('ZREVRANGE', P .. 'superseded', 0, 99, 'WITHSCORES')
  for i = 1, #replaced, 2 do
    if look_at(replaced[i], replaced[i + 1]) then break end
  end
  return room
end
local function find_full(fresh, older, owners, kept, tenant, most)
  if #fresh == 0 or most.waiting + most.scheduled + most.ready == 0 then return end
  local waiting = call('HMGET', P .. 'waiting', tenant, '')
  local all_of_tenant, all = tonumber(waiting[1] or 0), tonumber(waiting[2] or 0)
  local function within(count, limit) return limit == 0 or count + #fresh <= limit end
  if within(all_of_tenant, most.waiting) and within(all_of_tenant, most.scheduled) and within(all, most.ready) then return end
  local aside = call('HMGET', P .. 'scheduled', tenant, '')
  local scheduled = math.min(tonumber(aside[1] or 0), all_of_tenant)
  local ready_now = all - math.min(tonumber(aside[2] or 0), all)
  local later = 0
  for _, draft in ipairs(fresh) do
    if #draft.waits > 0 or draft.run_at > now then later = later + 1 end
  end
  local ready = #fresh - later
  local both = most.waiting > 0 and most.scheduled > 0 and most.waiting + most.scheduled or 0
  local function over(fresh, count, limit) return fresh > 0 and limit > 0 and math.max(0, count + fresh - limit) or 0 end
  local needed = {
    waiting = over(ready, all_of_tenant - scheduled, most.waiting), scheduled = over(later, scheduled, most.scheduled),
    both = over(later, all_of_tenant + ready, both), ready = over(ready, ready_now, most.ready)
  }
  if needed.waiting + needed.scheduled + needed.both + needed.ready == 0 then return end
  local room = count_room(older, owners, kept, tenant, needed)
  if room.waiting < needed.waiting then return { 'tenant_full', ready } end
  if room.scheduled < needed.scheduled or room.waiting + room.scheduled < needed.both then return { 'scheduled_full', later } end
  if room.ready < needed.ready then return { 'queue_full', ready } end
end
local dependents = {}
local function depend(id, dep, order)
  local members = dependents[dep] or {}
  dependents[dep], members[#members + 1], members[#members + 2] = members, order, id
end
local function write_dependents()
  for dep, members in pairs(dependents) do call('ZADD', P .. 'dependents:' .. dep, unpack(members)) end
end
local function create(draft, user, tenant, keep, attempts, backoff, patience, weight, any_replaced)
  local id, optional = draft.id, {}
  draft.step, draft.at = 'waiting_for_dependencies', now
  count('waiting', tenant, 1)
  if #draft.waits == 0 then draft.step, draft.at = admit(id, tenant, draft.priority, draft.run_at, patience, weight) end
  if draft.step ~= 'queued' then set_aside(tenant, 1) end
  local order = #draft.waits > 0 and call('HINCRBY', P .. 'shares', 'order', 1)
  for _, dep in ipairs(draft.waits) do depend(id, dep, order) end
  local function add(field, value) optional[#optional + 1], optional[#optional + 2] = field, value end
  if draft.run_at > 0 then add('run_at', draft.run_at) end
  if patience then add('patience', patience) end
  if weight then add('weight', weight) end
  if draft.retry_of ~= '' then add('retry_of', draft.retry_of) end
  if draft.retry_of ~= '' and call('EXISTS', record(draft.retry_of)) == 1 then call('HSET', record(draft.retry_of), 'retried_as', id) end
  if #draft.deps > 0 then
    add('deps', table.concat(draft.deps, ' '))
    add('left', #draft.waits)
  end
  call('SET', request(id), draft.request)
  call('HSET', record(id), 'format', 1, 'message', draft.message, 'user', user, 'tenant', tenant, 'shared', draft.shared, 'same', draft.same,
    'priority', draft.priority, 'keep', keep, 'max', attempts, 'backoff', backoff, 'keys', '', 'status', 'PENDING', 'progress', 0,
    'version', 1, 'created', now, 'attempt', 0, 'lease', 0, 'step', draft.step, 'at', draft.at, unpack(optional))
  call('ZADD', P .. 'active', now, id)
  index_active(P .. 'same:' .. draft.same, id)
  local owner = draft.message .. ':' .. user
  index_active(P .. 'message_tasks:' .. owner, id, any_replaced and call('ZSCORE', P .. 'superseded', owner))
  call('PUBLISH', P .. 'message:' .. draft.message .. ':' .. user, id)
end
local function note(id, field, value)
  local before = call('HGET', record(id), field) or ''
  if string.find(before .. ' ', ' ' .. value .. ' ', 1, true) then return false end
  call('HSET', record(id), field, before .. ' ' .. value)
  return true
end
local function bind(drafts, user, batch, key, body)
  if batch == '' and key == '' then return end
  local ids, unfinished, last, crowded = {}, 0, now, false
  for i, draft in ipairs(drafts) do
    ids[i] = draft.becomes
    local expires = tonumber(call('HGET', record(ids[i]), 'expires'))
    if expires then last = math.max(last, expires) end
    if batch == '' then
      if answers_for(ids[i], 'keys') >= MOST_ANSWERED then return end
      note(ids[i], 'keys', key)
      unfinished = expires and 0 or 1
    elseif expires and answers_for(ids[i], 'batches') >= MOST_ANSWERED then
      crowded = true
    elseif note(ids[i], 'batches', batch) and not expires then
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
  if crowded then last = math.min(last, now + 60000) end
  for _, name in ipairs(unfinished == 0 and bound or {}) do call('PEXPIRE', name, last - now) end
end
local function weigh(known)
  local bytes = #(known[4] or '')
  for _, part in ipairs({ 2, 3, 6 }) do
    for _, text in ipairs(known[part] or {}) do bytes = bytes + #text end
  end
  return bytes
end
local function ref(id)
  local t = call('HMGET', record(id), 'created', 'completed', 'expires')
  if not t[1] or (t[3] and tonumber(t[3]) <= now) then return false end
  return { id, t[1], t[2] }
end
local function cancel_older(older, owners, kept)
local MOST_TRIES = 20
local MOST_ASIDE = 100
local unparked = 0
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
local function preferred(tenant)
  local id = call('HGET', P .. 'turns:low', '=' .. tenant)
  if not id then return end
  call('HDEL', P .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end
local function unpark(tenant, cap)
  local key = P .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  local room = cap == 0 and MOST_ASIDE or math.max(1, (cap or 0) - (tonumber(call('HGET', P .. 'running', tenant) or 0)))
  for _ = 1, math.max(1, math.min(room, MOST_ASIDE - unparked)) do
    unparked = unparked + 1
    local id, score = unpack(next_parked(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    enter(QUEUES[math.floor(score / RANK)], id, score % RANK)
  end
  wake()
end
local function give_back(id, tenant, priority, weight)
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', P .. 'capped:' .. tenant, id)
  if score and math.floor(score % RANK) == tonumber(call('HGET', P .. 'turns:' .. priority, tenant)) then
    call('HINCRBY', P .. 'turns:' .. priority, tenant, -math.floor(ROUND / (weight or 1)))
  end
end
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
local function requeue(id, tenant, step, delay, verb, code, message)
  local t = call('HMGET', record(id), 'attempt', 'lease', 'worker', 'trace', 'step', 'progress', 'history')
  local attempt, lease, worker, trace, last_step, progress, history = unpack(t)
  local tries = cjson.decode(history or '[]')
  local started = trace and cjson.decode(trace)[1][2] or now
  tries[#tries + 1] = { attempt, lease, worker or '', started, now, verb, last_step, progress, code or '', message or '' }
  if #tries > MOST_TRIES then table.remove(tries, 1) end
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
local ended, has_ended, untold = {}, {}, {}
local MOST_MOVED = 25
local moved = 0
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local MOST_KEPT = 1024
local function shorten(id)
  if call('STRLEN', request(id)) <= MOST_KEPT then return end
  local raw = call('GET', request(id))
  local query = string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MOST_KEPT then value = 'null' end
  call('SET', request(id), string.sub(raw, 1, query + 19) .. value .. '}', 'KEEPTTL')
  call('HSET', record(id), 'shortened', 1)
end
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
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches', 'lease', 'tenant')
  local message, user, shared, same, keep, keys, batches, lease, tenant = unpack(t)
  ended[#ended + 1], has_ended[id], untold[#untold + 1] = id, true, { id, status == 'COMPLETED' }
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
local function tell_one(id, completed)
  local t = call('HMGET', record(id), 'tenant', 'priority', 'run_at', 'patience', 'weight', 'message', 'user')
  if not t[1] then return end
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
local function tell(id, completed)
  local key = P .. 'dependents:' .. id
  for _, dependent in ipairs(call('ZRANGE', key, 0, math.max(0, MOST_MOVED - moved))) do
    if moved >= MOST_MOVED then return false end
    call('ZREM', key, dependent)
    tell_one(dependent, completed)
  end
  return true
end
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
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  local staying = {}
  for id, of in pairs(kept) do
    local score = of == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, message, string.sub(owner, 38)) then staying[#staying + 1] = { id, tonumber(score) } end
  end
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
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', P .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MOST_MOVED - moved
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    if not put_cancelled(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', P .. 'superseded', owner) end
  return true
end
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
  if not unsettled then wake() end
  call('SET', P .. 'unsettled', 1)
  return true
end
  for _, id in ipairs(older) do put_cancelled(id) end
  for _, owner in ipairs(owners) do supersede(owner, kept) end
  local unsettled = settle(#owners > 0 or call('EXISTS', P .. 'unsettled') == 1)
  return others({}), unsettled and 1 or 0
end
local room = 2 ^ 20
local function known_record(id)
  if room <= 0 then return ref(id) and id end
  local known = read(id)
  if known then room = room - weigh(known) end
  return known
end
local user, tenant, key, body, batch = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[12]
local drafts, any_replaced = {}, false
for i = 16, #ARGV, 13 do
  drafts[#drafts + 1] = {
    id = ARGV[i], message = ARGV[i + 1], shared = ARGV[i + 2], same = ARGV[i + 3], force = ARGV[i + 4] == '1', request = ARGV[i + 5],
    asked = ARGV[i + 6], kept = ARGV[i + 7] == '1', priority = ARGV[i + 8], run_at = tonumber(ARGV[i + 9]) or 0, supersede = ARGV[i + 10] == '1',
    needs = ARGV[i + 11], retry_of = ARGV[i + 12]
  }
  if call('EXISTS', record(ARGV[i]), P .. 'superseded') > 0 then
    drafts[#drafts].known = call('EXISTS', record(ARGV[i])) == 1
    any_replaced = call('EXISTS', P .. 'superseded') == 1
  end
end
local before = drafts[1].known and drafts[1].id
if batch ~= '' then before = call('HGET', P .. 'batch:' .. batch, 'ids') end
if before then
  local repeated = {}
  for id in string.gmatch(before, '%S+') do
    local outcome = call('HEXISTS', record(id), 'expires') == 1 and 'chart_exists' or 'already_active'
    if id == drafts[#repeated + 1].id then outcome = 'queued' end
    repeated[#repeated + 1] = { outcome, known_record(id) }
  end
  return { 'accepted', repeated, {} }
end
local seen = key ~= '' and call('GET', P .. 'idempotency:' .. key)
if seen then
  local bound, records = string.sub(seen, 1, 36), {}
  for id in string.gmatch(call('HGET', P .. 'batch:' .. bound, 'ids') or bound, '%S+') do
    local known = known_record(id)
    if known then records[#records + 1] = { 'replayed', known } end
  end
  if #records > 0 then
    if string.sub(seen, 37) ~= body then return { 'key_reused' } end
    return { 'replayed', records, {}, bound }
  end
end
local by_id, fresh, unasked = match_alike(drafts, user, ARGV[11] == '1')
if unasked then return unasked end
local refusal = batch ~= '' and find_crowded(drafts) or resolve_needs(by_id, fresh, user, any_replaced)
if refusal then return refusal end
local older, owners, kept = find_older(drafts, user)
refusal = find_full(fresh, older, owners, kept, tenant, { waiting = tonumber(ARGV[6]), scheduled = tonumber(ARGV[15]), ready = tonumber(ARGV[7]) })
if refusal then return refusal end
local superseded, unsettled = {}, 0
if #older + #owners > 0 then superseded, unsettled = cancel_older(older, owners, kept) end
for _, draft in ipairs(fresh) do create(draft, user, tenant, ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[13]), tonumber(ARGV[14]), any_replaced or #owners > 0) end
write_dependents()
if #fresh > 0 then wake() end
bind(drafts, user, batch, key, body)
local records = {}
for i, draft in ipairs(drafts) do
  if draft.fresh then
    local place = draft.step == 'queued' and position(draft.id, draft.priority) or false
    records[i] = { 'queued', false, tostring(now), draft.step, tostring(draft.at), place, table.concat(draft.deps, ' ') }
  else
    records[i] = { draft.outcome, known_record(draft.becomes) }
  end
end
return { 'accepted', records, superseded, false, unsettled }`
  },
  extend: {
    sha: '5bd45cb88a88c606c5b06ff0508d9e7da1f26b3e',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local expected = tonumber(ARGV[#ARGV])
local ended_by = expected and math.min(now, expected) or now
local TOLERANCE = 2000
local MOST_MOVED = 1000
local function move(key, by, moves)
  local due = call('ZRANGE', P .. key, 0, MOST_MOVED - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    if not moves or moves(due[i]) then call('ZADD', P .. key, due[i + 1] - by, due[i]) end
  end
end
local function set_back(by)
  local mended = tonumber(call('GET', P .. 'set_back') or nil)
  if mended and math.abs(mended - by) <= TOLERANCE then return end
  call('SET', P .. 'set_back', by, 'PX', 600000)
  move('processing', by)
  move('deadlines', by)
  move('delayed', by, function(id) return call('HGET', record(id), 'step') == 'retrying' end)
end
if expected and expected - now > TOLERANCE then set_back(expected - now) end
local answers = {}
for i = 3, #ARGV - 1, 2 do
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
return { answers, tostring(now) }`
  },
  list: {
    sha: 'dfb52a2b817abacc241ee850f5d6535737bdd08f',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local function weigh(known)
  local bytes = #(known[4] or '')
  for _, part in ipairs({ 2, 3, 6 }) do
    for _, text in ipairs(known[part] or {}) do bytes = bytes + #text end
  end
  return bytes
end
local status, user, tenant, most, index, score, last = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local PAGE, MOST_READ, MOST_BYTES = 100, 1000, 2 ^ 20
local FINISHED = { COMPLETED = true, FAILED = true, CANCELLED = true }
local function fits(id, key)
  local t = call('HMGET', record(id), 'status', 'user', 'tenant')
  return (FINISHED[t[1]] or false) == (key == 'finished') and (status == '' or t[1] == status) and (user == '' or t[2] == user) and (tenant == '' or t[3] == tenant)
end
local function first_of(key)
  if index ~= key then return 0 end
  local rank = call('ZREVRANK', P .. key, last)
  return rank and rank + 1 or call('ZCOUNT', P .. key, '(' .. score, '+inf')
end
local records, bytes, looked, reached = {}, 0, 0, false
for _, key in ipairs({ 'active', 'finished' }) do
  local wanted = status == '' or (FINISHED[status] or false) == (key == 'finished')
  local from = first_of(key)
  while wanted and not (index == 'finished' and key == 'active') do
    local page = call('ZREVRANGE', P .. key, from, from + PAGE - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      local known = fits(page[i], key) and read(page[i])
      if looked == MOST_READ or (known and (#records == most or bytes >= MOST_BYTES)) then return { records, reached } end
      records[#records + 1] = known or nil
      bytes = bytes + (known and weigh(known) or 0)
      looked, reached = looked + 1, { key, page[i + 1], page[i] }
    end
    if #page < 2 * PAGE then break end
    from = from + PAGE
  end
end
return { records, false }`
  },
  message: {
    sha: '65fce344ff08a8fe65fcb6b2840886971a80d80e',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local function ref(id)
  local t = call('HMGET', record(id), 'created', 'completed', 'expires')
  if not t[1] or (t[3] and tonumber(t[3]) <= now) then return false end
  return { id, t[1], t[2] }
end
local mine = P .. 'message_tasks:' .. ARGV[2] .. ':' .. ARGV[3]
local limit = tonumber(ARGV[5])
local PAGE, MOST_READ = 100, 1000
local active = {}
for _, id in ipairs(call('ZRANGEBYSCORE', mine, '-inf', '(0', 'LIMIT', 0, limit)) do active[#active + 1] = ref(id) or nil end
if ARGV[6] then return { active } end
local found = { COMPLETED = {}, FAILED = {} }
local offset = 0
while offset < MOST_READ and (#found.COMPLETED < limit or #found.FAILED < limit) do
  local ids = call('ZREVRANGEBYSCORE', mine, '+inf', '(0', 'LIMIT', offset, PAGE)
  for _, id in ipairs(ids) do
    local status = call('HGET', record(id), 'status')
    local list = status and found[status]
    if list and #list < limit then list[#list + 1] = ref(id) or nil end
  end
  if #ids < PAGE then break end
  offset = offset + PAGE
end
local others = {}
if ARGV[4] ~= '' then
  for _, id in ipairs(call('ZREVRANGEBYSCORE', P .. 'message_charts:' .. ARGV[2] .. ':' .. ARGV[4], '+inf', '(0', 'LIMIT', 0, 2 * limit)) do
    if #others < limit and call('HGET', record(id), 'user') ~= ARGV[3] then others[#others + 1] = ref(id) or nil end
  end
end
return { active, found.COMPLETED, found.FAILED, others, tostring(now) }`
  },
  outlook: {
    sha: 'a8aa9baf117bf1a1b2b5a21ce67089afd688249f',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local MOST, MOST_READ, PAGE = 100, 500, 100
local since
for _, name in ipairs(QUEUES) do
  local head = call('ZRANGE', queue(name), 0, 0)[1]
  local at = tonumber(head and call('HGET', record(head), 'at') or nil)
  if at and (not since or at < since) then since = at end
end
local running = {}
for _, id in ipairs(call('ZRANGE', P .. 'processing', 0, MOST - 1)) do
  local t = call('HMGET', record(id), 'step', 'at')
  if t[2] then running[#running + 1] = t end
end
local completed = {}
for from = 0, MOST_READ - 1, PAGE do
  local ids = call('ZREVRANGE', P .. 'finished', from, from + PAGE - 1)
  for _, id in ipairs(ids) do
    local t = call('HMGET', record(id), 'status', 'expires', 'trace', 'completed')
    if #completed < MOST and t[1] == 'COMPLETED' and tonumber(t[2]) > now and t[3] then completed[#completed + 1] = { t[3], t[4] } end
  end
  if #completed == MOST or #ids < PAGE then break end
end
return { tostring(now), call('EXISTS', P .. 'paused'), since and tostring(since) or false, call('ZCARD', P .. 'processing'), running, completed }`
  },
  pause: {
    sha: '9363e4a037c821b0c72f869c0a58b40b87cbd157',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local RANK = 2 ^ 44
local ROUND = 60
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
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end
local function set_aside(tenant, by)
  local aside = tenant and call('HINCRBY', P .. 'scheduled', tenant, by)
  if aside and aside <= 0 then call('HDEL', P .. 'scheduled', tenant) end
  if aside and aside < 0 then return end
  if call('HINCRBY', P .. 'scheduled', '', by) <= 0 then call('HDEL', P .. 'scheduled', '') end
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
local function queue_back(id, tenant, priority, patience, weight)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local length = math.floor(ROUND / (weight or 1))
  local turn = call('HINCRBY', P .. 'turns:' .. priority, tenant, length)
  if turn < round + length then
    turn = round + length
    call('HSET', P .. 'turns:' .. priority, tenant, turn)
  end
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
  if patience then call('ZADD', P .. 'deadlines', now + patience, id) end
end
local function admit(id, tenant, priority, run_at, patience, weight)
  if run_at > now then
    call('ZADD', P .. 'delayed', run_at, id)
    return 'scheduled', run_at
  end
  queue_back(id, tenant, priority, patience, weight)
  return 'queued', now
end
local MOST_TRIES = 20
local MOST_ASIDE = 100
local unparked = 0
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
local function preferred(tenant)
  local id = call('HGET', P .. 'turns:low', '=' .. tenant)
  if not id then return end
  call('HDEL', P .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end
local function unpark(tenant, cap)
  local key = P .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  local room = cap == 0 and MOST_ASIDE or math.max(1, (cap or 0) - (tonumber(call('HGET', P .. 'running', tenant) or 0)))
  for _ = 1, math.max(1, math.min(room, MOST_ASIDE - unparked)) do
    unparked = unparked + 1
    local id, score = unpack(next_parked(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    enter(QUEUES[math.floor(score / RANK)], id, score % RANK)
  end
  wake()
end
local function give_back(id, tenant, priority, weight)
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', P .. 'capped:' .. tenant, id)
  if score and math.floor(score % RANK) == tonumber(call('HGET', P .. 'turns:' .. priority, tenant)) then
    call('HINCRBY', P .. 'turns:' .. priority, tenant, -math.floor(ROUND / (weight or 1)))
  end
end
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
local function requeue(id, tenant, step, delay, verb, code, message)
  local t = call('HMGET', record(id), 'attempt', 'lease', 'worker', 'trace', 'step', 'progress', 'history')
  local attempt, lease, worker, trace, last_step, progress, history = unpack(t)
  local tries = cjson.decode(history or '[]')
  local started = trace and cjson.decode(trace)[1][2] or now
  tries[#tries + 1] = { attempt, lease, worker or '', started, now, verb, last_step, progress, code or '', message or '' }
  if #tries > MOST_TRIES then table.remove(tries, 1) end
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
if ARGV[2] == '1' then
  call('SET', P .. 'paused', now)
elseif call('DEL', P .. 'paused') == 1 and any_queued() then
  wake()
end
return 1`
  },
  probe: {
    sha: '7b4a0a11719f91151c9a183df5eecd9133d82505',
    source: `#!lua
local key = KEYS[1] .. 'probe'
redis.call('SET', key, 1, 'PX', 1000)
return redis.call('DEL', key)`
  },
  progress: {
    sha: 'abc4c0323a7618f911970a89ee35a7ed3684a450',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local MOST_STEPS = 64
local function put(id, first, last)
  local moved = false
  for j = first, last, 2 do
    local name, percent = ARGV[j], ARGV[j + 1]
    local old = call('HGET', details(id), name)
    if old ~= percent and (old or call('HLEN', details(id)) < MOST_STEPS) then
      call('HSET', details(id), name, percent)
      moved = true
    end
  end
  return moved
end
local function with_step(trace, step, progress)
  local entries = cjson.decode(trace)
  if #entries < MOST_STEPS then entries[#entries + 1] = { step, now, progress } end
  return cjson.encode(entries)
end
local function report(id, progress, step, first, last)
  local t = call('HMGET', record(id), 'progress', 'step', 'trace')
  local reached = math.max(progress or 0, tonumber(t[1]))
  local changes = {}
  if put(id, first, last) or reached > tonumber(t[1]) then changes = { 'progress', reached, 'moved', now } end
  if step ~= '' and step ~= t[2] then
    changes = { 'progress', reached, 'moved', now, 'step', step, 'at', now, 'from', reached, 'trace', t[3] and with_step(t[3], step, reached) }
    if not t[3] then changes[11], changes[12] = nil, nil end
  end
  if #changes == 0 then return end
  call('HSET', record(id), unpack(changes))
  announce(id)
end
local answers = {}
local i = 2
while i <= #ARGV do
  local id, lease, progress, step, n = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], tonumber(ARGV[i + 4])
  local t = call('HMGET', record(id), 'lease', 'status')
  local current = t[1] == lease and t[2] == 'PROCESSING'
  if current then report(id, progress, step, i + 5, i + 4 + 2 * n) end
  answers[#answers + 1] = current and 1 or 0
  i = i + 5 + 2 * n
end
return answers`
  },
  read: {
    sha: '27e2597f64a714d8c0998142988ce410ffa3b3fc',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local function weigh(known)
  local bytes = #(known[4] or '')
  for _, part in ipairs({ 2, 3, 6 }) do
    for _, text in ipairs(known[part] or {}) do bytes = bytes + #text end
  end
  return bytes
end
local records, room = {}, tonumber(ARGV[2])
for i = 3, #ARGV do
  records[#records + 1] = read(ARGV[i])
  if i < #ARGV and records[#records] then
    room = room - weigh(records[#records])
    if room <= 0 then break end
  end
end
return records`
  },
  settleAndClaim: {
    sha: 'bb0824532e09ea991dd65949080fed83f9790e40',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local expected = tonumber(ARGV[#ARGV])
local ended_by = expected and math.min(now, expected) or now
local TOLERANCE = 2000
local MOST_MOVED = 1000
local function move(key, by, moves)
  local due = call('ZRANGE', P .. key, 0, MOST_MOVED - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    if not moves or moves(due[i]) then call('ZADD', P .. key, due[i + 1] - by, due[i]) end
  end
end
local function set_back(by)
  local mended = tonumber(call('GET', P .. 'set_back') or nil)
  if mended and math.abs(mended - by) <= TOLERANCE then return end
  call('SET', P .. 'set_back', by, 'PX', 600000)
  move('processing', by)
  move('deadlines', by)
  move('delayed', by, function(id) return call('HGET', record(id), 'step') == 'retrying' end)
end
if expected and expected - now > TOLERANCE then set_back(expected - now) end
local function index_expire(key, keep)
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end
local function index_active(key, id, replaced)
  local newest = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  call('ZADD', key, -math.max(now, 1 - tonumber(newest or 0), 1 - tonumber(replaced or 0)), id)
  if newest then call('PERSIST', key) end
end
local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  if newest <= 0 then return index_expire(key, keep_index) end
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end
local function is_superseded(id, message, user)
  local owner = message .. ':' .. user
  local newest = call('ZSCORE', P .. 'superseded', owner)
  local score = newest and call('ZSCORE', P .. 'message_tasks:' .. owner, id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
local RANK = 2 ^ 44
local ROUND = 60
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
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end
local function set_aside(tenant, by)
  local aside = tenant and call('HINCRBY', P .. 'scheduled', tenant, by)
  if aside and aside <= 0 then call('HDEL', P .. 'scheduled', tenant) end
  if aside and aside < 0 then return end
  if call('HINCRBY', P .. 'scheduled', '', by) <= 0 then call('HDEL', P .. 'scheduled', '') end
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
local function queue_back(id, tenant, priority, patience, weight)
  local round = tonumber(call('HGET', P .. 'shares', 'round:' .. priority) or 0)
  local length = math.floor(ROUND / (weight or 1))
  local turn = call('HINCRBY', P .. 'turns:' .. priority, tenant, length)
  if turn < round + length then
    turn = round + length
    call('HSET', P .. 'turns:' .. priority, tenant, turn)
  end
  local order = call('HINCRBY', P .. 'shares', 'order', 1) % 2 ^ 20 / 2 ^ 20
  enter(priority, id, string.format('%.17g', turn + order))
  if patience then call('ZADD', P .. 'deadlines', now + patience, id) end
end
local function admit(id, tenant, priority, run_at, patience, weight)
  if run_at > now then
    call('ZADD', P .. 'delayed', run_at, id)
    return 'scheduled', run_at
  end
  queue_back(id, tenant, priority, patience, weight)
  return 'queued', now
end
local MOST_TRIES = 20
local MOST_ASIDE = 100
local unparked = 0
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
local function preferred(tenant)
  local id = call('HGET', P .. 'turns:low', '=' .. tenant)
  if not id then return end
  call('HDEL', P .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end
local function unpark(tenant, cap)
  local key = P .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  local room = cap == 0 and MOST_ASIDE or math.max(1, (cap or 0) - (tonumber(call('HGET', P .. 'running', tenant) or 0)))
  for _ = 1, math.max(1, math.min(room, MOST_ASIDE - unparked)) do
    unparked = unparked + 1
    local id, score = unpack(next_parked(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    enter(QUEUES[math.floor(score / RANK)], id, score % RANK)
  end
  wake()
end
local function give_back(id, tenant, priority, weight)
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', P .. 'capped:' .. tenant, id)
  if score and math.floor(score % RANK) == tonumber(call('HGET', P .. 'turns:' .. priority, tenant)) then
    call('HINCRBY', P .. 'turns:' .. priority, tenant, -math.floor(ROUND / (weight or 1)))
  end
end
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
local function requeue(id, tenant, step, delay, verb, code, message)
  local t = call('HMGET', record(id), 'attempt', 'lease', 'worker', 'trace', 'step', 'progress', 'history')
  local attempt, lease, worker, trace, last_step, progress, history = unpack(t)
  local tries = cjson.decode(history or '[]')
  local started = trace and cjson.decode(trace)[1][2] or now
  tries[#tries + 1] = { attempt, lease, worker or '', started, now, verb, last_step, progress, code or '', message or '' }
  if #tries > MOST_TRIES then table.remove(tries, 1) end
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
local ended, has_ended, untold = {}, {}, {}
local MOST_MOVED = 25
local moved = 0
local function others(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = read(id) end
  end
  return records
end
local MOST_KEPT = 1024
local function shorten(id)
  if call('STRLEN', request(id)) <= MOST_KEPT then return end
  local raw = call('GET', request(id))
  local query = string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MOST_KEPT then value = 'null' end
  call('SET', request(id), string.sub(raw, 1, query + 19) .. value .. '}', 'KEEPTTL')
  call('HSET', record(id), 'shortened', 1)
end
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
local function put_final(id, status, fields)
  local t = call('HMGET', record(id), 'message', 'user', 'shared', 'same', 'keep', 'keys', 'batches', 'lease', 'tenant')
  local message, user, shared, same, keep, keys, batches, lease, tenant = unpack(t)
  ended[#ended + 1], has_ended[id], untold[#untold + 1] = id, true, { id, status == 'COMPLETED' }
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
local function tell_one(id, completed)
  local t = call('HMGET', record(id), 'tenant', 'priority', 'run_at', 'patience', 'weight', 'message', 'user')
  if not t[1] then return end
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
local function tell(id, completed)
  local key = P .. 'dependents:' .. id
  for _, dependent in ipairs(call('ZRANGE', key, 0, math.max(0, MOST_MOVED - moved))) do
    if moved >= MOST_MOVED then return false end
    call('ZREM', key, dependent)
    tell_one(dependent, completed)
  end
  return true
end
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
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  local staying = {}
  for id, of in pairs(kept) do
    local score = of == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, message, string.sub(owner, 38)) then staying[#staying + 1] = { id, tonumber(score) } end
  end
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
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', P .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MOST_MOVED - moved
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    if not put_cancelled(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', P .. 'superseded', owner) end
  return true
end
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
  if not unsettled then wake() end
  call('SET', P .. 'unsettled', 1)
  return true
end
local function weigh(known)
  local bytes = #(known[4] or '')
  for _, part in ipairs({ 2, 3, 6 }) do
    for _, text in ipairs(known[part] or {}) do bytes = bytes + #text end
  end
  return bytes
end
local MOST_DUE, MOST_HANDED = 25, 500
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
local function was_held(trace)
  local steps = cjson.decode(trace or '[]')
  return #steps == 1 and steps[1][1] == 'queued'
end
local expired = {}
local function expire(cap, unsettled)
  for _, id in ipairs(due_in('processing', ended_by)) do
    local attempt, max, tenant, worker, trace = unpack(call('HMGET', record(id), 'attempt', 'max', 'tenant', 'worker', 'trace'))
    if not tenant then
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
local MOST_TAKEN = 4 * 2 ^ 20
local function handed(known, lease, lost)
  if lease == 1 then return known, #(known[4] or '') end
  known[6], known[7] = call('HGETALL', checkpoints(known[1])), lost
  return known, weigh(known)
end
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
local function end_replaced(id, at, score)
  if not is_replaced(id) then return false end
  local name = QUEUES[at]
  call('ZADD', queue(name), score, id)
  if STRIDE[name] then call('HINCRBY', P .. 'shares', name, -STRIDE[name]) end
  return put_cancelled(id)
end
local function record_to_start(id) return call('HMGET', record(id), 'tenant', 'attempt', 'lease', 'version', 'started', 'patience') end
local function notes_for(worker) return call('MGET', P .. 'take:' .. worker, P .. 'paused', P .. 'unsettled') end
local function take(own, worker, take_id, wanted, lease_duration, running_per_tenant, beside, notes)
  local taken = {}
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
      aside = aside + 1
    elseif unsettled and end_replaced(id, at, score) then
      aside = aside + 1
    elseif capped and tonumber(call('HGET', P .. 'running', tenant) or 0) >= running_per_tenant then
      park(id, tenant, at, score)
      aside = aside + 1
    else
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
  if not paused and any_queued() then wake() end
  return { taken, others(own), next_due(unsettled), tostring(now), unsettled and 1 or 0, expired }
end
local function backoff(policy, attempt, random)
  local kind, delay, max, jitter = string.match(policy, '(%S+) (%S+) (%S+) (%S+)')
  local ms = tonumber(delay)
  if kind == 'exponential' then ms = ms * 2 ^ (attempt - 1) end
  return math.floor(math.min(ms, tonumber(max)) * (1 - tonumber(jitter) * random))
end
local verbs = {}
function verbs.complete(id, t, chart, content)
  if content ~= '' then call('SET', P .. 'chart:' .. chart, content, 'PX', tonumber(string.match(t.keep, '%d+'))) end
  put_final(id, 'COMPLETED', { 'chart', chart, 'progress', 100 })
end
function verbs.fail(id, t, code, message, delay, random)
  if delay == 'never' or t.attempt >= t.max then
    put_final(id, 'FAILED', { 'code', code, 'error', message })
  else
    requeue(id, t.tenant, 'retrying', tonumber(delay) or backoff(t.backoff, t.attempt, tonumber(random)), 'fail', code, message)
  end
end
function verbs.release(id, t)
  requeue(id, t.tenant, 'queued', 0, 'release')
end
local closed, own, cap = {}, {}, ARGV[2] ~= '' and tonumber(ARGV[6]) or nil
local notes = ARGV[2] ~= '' and notes_for(ARGV[2]) or { false, false, call('GET', P .. 'unsettled') }
for i = 8, #ARGV - 1, 7 do
  local id, lease, verb = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local current, status, last_verb, tenant, keep, attempt, max, policy =
    unpack(call('HMGET', record(id), 'lease', 'status', 'closed', 'tenant', 'keep', 'attempt', 'max', 'backoff'))
  local answer = { 'stale' }
  if notes[3] and status == 'PROCESSING' and is_replaced(id) then
    put_cancelled(id)
    status = 'CANCELLED'
  end
  if current == lease and status == 'PROCESSING' then
    close_lease(id, tenant, verb, cap)
    local t = { tenant = tenant, keep = keep, attempt = tonumber(attempt), max = tonumber(max), backoff = policy }
    verbs[verb](id, t, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    answer = { 'ok', has_ended[id] and read(id) or nil }
  elseif current == lease and last_verb == verb then
    answer = { 'ok', (status == 'COMPLETED' or status == 'FAILED') and read(id) or nil }
  end
  own[id] = own[id] or answer[1] == 'ok'
  closed[#closed + 1] = answer
end
if ARGV[2] == '' then
  local unsettled = settle(false) or notes[3]
  return { closed, { {}, others(own), next_due(unsettled), tostring(now), unsettled and 1 or 0, {} } }
end
return { closed, take(own, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), notes) }`
  },
  stats: {
    sha: 'd9cfd9c29ba5f1b6cc3fc9d7438698a6dc706468',
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
local function request(id) return P .. 'request:' .. id end
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end
local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
local oldest = false
for _, name in ipairs(QUEUES) do
  local head = call('ZRANGE', queue(name), 0, 0)[1]
  local created = head and call('HGET', record(head), 'created')
  if created and (not oldest or created < oldest) then oldest = created end
end
return {
  tonumber(call('HGET', P .. 'waiting', '') or 0),
  call('ZCARD', P .. 'processing'),
  call('ZCARD', P .. 'delayed'),
  oldest,
  tostring(now),
  call('EXISTS', P .. 'paused')
}`
  }
}
