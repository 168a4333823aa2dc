#!lua
-- enqueue: accepts tasks, all or none of them, or answers with those that there are already.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] user_id  [3] tenant  [4] hash of the Idempotency-Key or ''  [5] hash of the body
-- ARGV[6] most waiting of a tenant  [7] most waiting at all  [8] retention 'task details index' (ms)
-- ARGV[9] attempts  [10] backoff 'type delay max jitter'  [11] 1: charts are kept in here  [12] batch_id or ''
-- then for each task eleven: task_id  message_id  org that shares the chart or ''  hash of what makes two requests the same
--   force 0|1  request  chart that the host's store has lost or ''  priority  when it may run at the earliest (ms) or ''
--   1: instead of the caller's older tasks of the message  task_ids that it needs
-- Returns { 'accepted' | 'replayed', { { outcome, record } or { 'queued', false, now, step } … }, records of tasks that were cancelled for it }, or { why not, which }
-- Atomic because fifty equal requests at once must make one task, and a key must belong to one task for good.
--- @include "base"
--- @include "index"
--- @include "queue"
--- @include "finish"
local user, tenant, key, body, batch = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[12]
local drafts = {}
for i = 13, #ARGV, 11 do
  drafts[#drafts + 1] = {
    id = ARGV[i], message = ARGV[i + 1], shared = ARGV[i + 2], same = ARGV[i + 3], force = ARGV[i + 4] == '1', request = ARGV[i + 5],
    missing = ARGV[i + 6], priority = ARGV[i + 7], run_at = tonumber(ARGV[i + 8]) or 0, supersede = ARGV[i + 9] == '1', needs = ARGV[i + 10]
  }
end

local function answer(outcome, records)
  return { outcome, records, others({}) }
end

local again = false
for _, draft in ipairs(drafts) do
  again = again or draft.missing ~= ''
  draft.known = call('EXISTS', record(draft.id)) == 1
end

-- This very call has been here before: its reply was lost.
local before = drafts[1].known and drafts[1].id
if batch ~= '' then before = not again and call('HGET', P .. 'batch:' .. batch, 'ids') end
if before then
  local repeated = {}
  for id in string.gmatch(before, '%S+') do
    local outcome = call('HEXISTS', record(id), 'expires') == 1 and 'chart_exists' or 'already_active'
    if id == drafts[#repeated + 1].id then outcome = 'queued' end
    repeated[#repeated + 1] = { outcome, read(id) }
  end
  return answer('accepted', repeated)
end

local seen = key ~= '' and call('GET', P .. 'idempotency:' .. key)
-- With a chart that was found to be lost, the key was bound a moment ago to the task that names it.
if seen and not again then
  local records = {}
  local first = string.sub(seen, 1, 36)
  for id in string.gmatch(call('HGET', P .. 'batch:' .. first, 'ids') or first, '%S+') do
    local known = read(id)
    if known then records[#records + 1] = { 'replayed', known } end
  end
  if #records > 0 then
    if string.sub(seen, 37) ~= body then return { 'key_reused' } end
    return { 'replayed', records, {}, first }
  end
end

-- Decide, without a write, what becomes of each: another that is alike, or a new one.
local function find_alike(draft)
  local index = P .. 'same:' .. draft.same
  local active = call('ZRANGEBYSCORE', index, '-inf', '(0', 'LIMIT', 0, 1)[1]
  if active then return active, 'already_active' end
  local finished = call('ZREVRANGEBYSCORE', index, '+inf', '(0', 'LIMIT', 0, 1)[1]
  if not finished or not read(finished) then return end
  local chart = call('HGET', record(finished), 'chart')
  if chart ~= draft.missing and (ARGV[11] == '0' or call('EXISTS', P .. 'chart:' .. chart) == 1) then return finished, 'chart_exists' end
end

local becomes, outcomes, planned, kept, fresh = {}, {}, {}, {}, 0
for _, draft in ipairs(drafts) do
  local id, outcome
  if not draft.force and not draft.known then
    if planned[draft.same] then
      id, outcome = planned[draft.same], 'already_active'
    else
      id, outcome = find_alike(draft)
    end
  end
  if not id then
    id, outcome = draft.id, 'queued'
    planned[draft.same] = id
    draft.fresh = not draft.known
    if draft.fresh then fresh = fresh + 1 end
  end
  becomes[draft.id], outcomes[draft.id], kept[id] = id, outcome, true
end

for _, draft in ipairs(drafts) do
  -- Twins of a batch are one task: whoever needs both waits for it once.
  draft.deps, draft.waits = {}, {}
  local function wait(dep)
    if not draft.waits[dep] then draft.waits[dep], draft.waits[#draft.waits + 1] = true, dep end
  end
  if draft.fresh then
    for need in string.gmatch(draft.needs, '%S+') do
      local dep = becomes[need] or need
      kept[dep] = true
      draft.deps[#draft.deps + 1] = dep
      local t = call('HMGET', record(dep), 'status', 'user', 'expires')
      if outcomes[dep] == 'queued' and not t[1] then
        wait(dep)
      elseif not t[1] or t[2] ~= user or (t[3] and tonumber(t[3]) <= now) then
        return { 'dependency_unknown', need }
      elseif t[1] == 'FAILED' or t[1] == 'CANCELLED' then
        return { 'dependency_failed', need }
      elseif t[1] ~= 'COMPLETED' then
        wait(dep)
      end
    end
  end
end

-- What is kept keeps what it waits for, however far: to cancel that would end it.
local function keep_needed()
  local open = {}
  for id in pairs(kept) do open[#open + 1] = id end
  while #open > 0 do
    local t = call('HMGET', record(table.remove(open)), 'left', 'deps')
    for dep in string.gmatch(tonumber(t[1] or 0) > 0 and t[2] or '', '%S+') do
      if not kept[dep] then kept[dep], open[#open + 1] = true, dep end
    end
  end
end

local older, freed = {}, { [tenant] = 0, [''] = 0 }
for _, draft in ipairs(drafts) do
  if draft.supersede then
    keep_needed()
    break
  end
end
for _, draft in ipairs(drafts) do
  if draft.supersede then
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'message_tasks:' .. draft.message .. ':' .. user, '-inf', '(0')) do
      if not kept[id] then
        kept[id] = true
        older[#older + 1] = id
        local t = call('HMGET', record(id), 'status', 'tenant')
        -- What is about to be cancelled makes room.
        if t[1] == 'PENDING' then
          freed[''] = freed[''] + 1
          if t[2] == tenant then freed[tenant] = freed[tenant] + 1 end
        end
      end
    end
  end
end

local function full(field, limit)
  return fresh > 0 and limit > 0 and tonumber(call('HGET', P .. 'waiting', field) or 0) - freed[field] + fresh > limit
end
if full(tenant, tonumber(ARGV[6])) then return { 'tenant_full' } end
if full('', tonumber(ARGV[7])) then return { 'queue_full' } end

-- Decided: from here on nothing is refused.
for _, id in ipairs(older) do cancel(id) end

local function create(draft)
  local id = draft.id
  call('SET', P .. 'request:' .. id, draft.request)
  call('HSET', record(id), 'format', 1, 'message', draft.message, 'user', user, 'tenant', tenant, 'shared', draft.shared, 'same', draft.same,
    'priority', draft.priority, 'keep', ARGV[8], 'max', ARGV[9], 'backoff', ARGV[10], 'keys', '', 'status', 'PENDING', 'progress', 0, 'version', 1,
    'created', now, 'attempt', 0, 'lease', 0)
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
  -- Nobody watches a task that has just been named: its message says that there is one more.
  call('PUBLISH', P .. 'message:' .. draft.message .. ':' .. user, id)
end
for _, draft in ipairs(drafts) do
  if draft.fresh then create(draft) end
end
if fresh > 0 then wake() end

-- Once, lest a batch that names a task twice count its end twice.
local function note(id, field, value)
  local noted = call('HGET', record(id), field) or ''
  if not string.find(noted .. ' ', ' ' .. value .. ' ', 1, true) then call('HSET', record(id), field, noted .. ' ' .. value) end
end

local records, ids, counted, unfinished, last = {}, {}, {}, 0, now
for i, draft in ipairs(drafts) do
  local id = becomes[draft.id]
  ids[i] = id
  -- What is new, its sender knows: but for the time, and what it waits for.
  if draft.fresh then
    records[i] = { 'queued', false, tostring(now), call('HGET', record(id), 'step') }
  else
    records[i] = { outcomes[draft.id], read(id) }
  end
  local expires = tonumber(call('HGET', record(id), 'expires'))
  if expires then
    last = math.max(last, expires)
  elseif batch ~= '' then
    if not counted[id] then counted[id], unfinished = true, unfinished + 1 end
    note(id, 'batches', batch)
  elseif key ~= '' then
    note(id, 'keys', key)
  end
end
if batch ~= '' then
  call('HSET', P .. 'batch:' .. batch, 'user', user, 'ids', table.concat(ids, ' '), 'left', unfinished, 'key', key)
  if unfinished == 0 then call('PEXPIRE', P .. 'batch:' .. batch, last - now) end
end
if key ~= '' then
  call('SET', P .. 'idempotency:' .. key, (batch ~= '' and batch or ids[1]) .. body)
  if last > now and unfinished == 0 then call('PEXPIRE', P .. 'idempotency:' .. key, last - now) end
end
return answer('accepted', records)
