#!lua
-- enqueue: accepts a task, or answers with the one that there is already.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] task_id  [3] message_id  [4] user_id  [5] tenant
-- ARGV[6] org that shares the chart or ''  [7] hash of what makes two requests the same  [8] force 0|1
-- ARGV[9] hash of the Idempotency-Key or ''  [10] hash of the body  [11] most waiting of a tenant  [12] most waiting at all
-- ARGV[13] retention 'task details index' (ms)  [14] attempts  [15] backoff 'type delay max jitter'  [16] the request
-- ARGV[17] chart that the host's store has lost or ''  [18] 1: charts are kept in here
-- Returns { outcome, record }
-- Atomic because fifty equal requests at once must make one task, and a key must belong to one task for good.
--- @include "base"
--- @include "index"
--- @include "queue"
local id, message, user, tenant, shared, same = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local key, body = ARGV[9], ARGV[10]
local index = P .. 'same:' .. same

-- This very call has been here before: its reply was lost.
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
return { 'queued', read(id) }
