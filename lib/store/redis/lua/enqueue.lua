#!lua
-- enqueue: accepts the tasks of requests, of each request all or none, or answers with those that there are already.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME), then for each request six: user_id  tenant  the terms: most waiting of a tenant, most that could run, of everybody,
--   most of a tenant that wait for a time or for others, 1 where charts are kept in here, most ms in the queue (0 = off), weight of the tenant
--   hashes of the Idempotency-Key and of the body, or ''  batch_id or ''  n
--   and n times five: task_id  what is asked: the words behind `same`  hash of what makes two requests the same  request  what few ask for, as JSON, or '':
--   force, asked (chart that the host was asked for), kept (it has it), run_at (when it may run at the earliest, ms), supersede (instead of the
--   caller's older tasks of the message), needs (task_ids), retry_of (the task that it repeats), few (what few records have)
-- Returns for each request { 'accepted' | 'replayed', { { outcome, task, or its id where the tasks before have a MiB } or { 'queued', false, now, step, at, position or false, what it needs } … }, tasks that were cancelled for it, the batch that a key leads to or false, 1 if more is to be settled }, or { why not, which };
--   where all was plain, { 'plain', now, position … } of all tasks of all requests
-- What is refused of one request changes nothing of the others.
-- Atomic because fifty equal requests at once must make one task, and a key must belong to one task for good.
--- @include "start"
--- @include "tenants"
--- @include "index"
--- @include "plain-enqueue"
local plain = enqueue_plain()
if plain then return plain end
--- @include "base"
--- @include "queue"
--- @include "decide"
--- @include "create"
--- @include "bind"
--- @include "commit"
--- @include "weigh"
-- Its functions are made only where there is something to end: Lua makes them anew in every call. Returns what tells of those that have
-- ended, once all is written, and 1 if more is to be settled.
local function cancel_older(older, owners, kept)
--- @include "leave"
--- @include "finish"
  fetch(older)
  -- One that needs another of them is cancelled with it, and does not fail for it.
  for _, id in ipairs(older) do cancel_task(id) end
  for _, owner in ipairs(owners) do supersede(owner, kept) end
  local deferred = run_deferred(#owners > 0 or call('EXISTS', Q .. 'unsettled') == 1)
  return ended_besides, deferred and 1 or 0
end

-- A reply of many large tasks would hold Redis up: what is over is read in slices.
local room = 2 ^ 20
local function known_task(id)
  if room <= 0 then return find_kept(id) and id end
  local known = task_reply(id)
  if known then room = room - reply_bytes(known) end
  return known
end

local function to_request(i)
  local waiting, ready, scheduled, inside, timeout, weight = string.match(ARGV[i + 2], '(%d+) (%d+) (%d+) (%d) (%d+) (%d+)')
  local key, body = string.match(ARGV[i + 3], '(%S+) (%S+)')
  local request = {
    user = ARGV[i], tenant = ARGV[i + 1], key = key or '', body = body or '', batch = ARGV[i + 4], stores_content = inside == '1', drafts = {},
    limits = { waiting = tonumber(waiting), ready = tonumber(ready), scheduled = tonumber(scheduled) },
    terms = { tenant = ARGV[i + 1], queue_timeout = timeout ~= '0' and tonumber(timeout) or nil, weight = tonumber(weight) }
  }
  local n = tonumber(ARGV[i + 5])
  i = i + PER_REQUEST
  for d = 1, n do
    local rest = ARGV[i + 4] == '' and {} or cjson.decode(ARGV[i + 4])
    local message, priority = string.match(ARGV[i + 1], '^(%S+) (%l+)')
    request.drafts[d] = {
      id = ARGV[i], message = message, user = request.user, head = ARGV[i + 1], dedup_key = ARGV[i + 2], force = rest.force, request = ARGV[i + 3],
      chart_check = rest.asked or '', kept = rest.kept, priority = priority, run_at = rest.run_at or 0, supersede = rest.supersede,
      needs = rest.needs or '', retry_of = rest.retry_of or '', extras = rest.few or {}
    }
    i = i + PER_DRAFT
  end
  return request, i
end

-- What this very call has answered before, if its reply was lost, or what an Idempotency-Key leads to.
local function find_repeated(request)
  local drafts, batch, key = request.drafts, request.batch, request.key
  local before = drafts[1].known and drafts[1].id
  if batch ~= '' then before = call('HGET', Q .. 'batch:' .. batch, 'ids') end
  if before then
    return function()
      local repeated = {}
      for id in string.gmatch(before, '%S+') do
        local task = find(id)
        local outcome = task and task.state.completed and 'chart_exists' or 'already_active'
        if id == drafts[#repeated + 1].id then outcome = 'queued' end
        repeated[#repeated + 1] = { outcome, known_task(id) }
      end
      return { 'accepted', repeated, {} }
    end
  end
  local seen = key ~= '' and call('GET', Q .. 'idempotency:' .. key)
  if not seen then return end
  local bound, ids = string.sub(seen, 1, 36), {}
  for id in string.gmatch(call('HGET', Q .. 'batch:' .. bound, 'ids') or bound, '%S+') do
    if find_kept(id) then ids[#ids + 1] = id end
  end
  if #ids == 0 then return end
  if string.sub(seen, 37) ~= request.body then return { 'key_reused' } end
  return function()
    local found = {}
    for n, id in ipairs(ids) do found[n] = { 'replayed', known_task(id) } end
    return { 'replayed', found, {}, bound }
  end
end

-- Returns the answer, or what makes it once all is written.
local function accept(request, any_replaced)
  local drafts, user, tenant, batch, key = request.drafts, request.user, request.tenant, request.batch, request.key
  local repeated = find_repeated(request)
  if repeated then return repeated end
  local by_id, fresh, unchecked = match_duplicates(drafts, request.stores_content, any_replaced)
  if unchecked then return unchecked end
  local refusal = batch ~= '' and find_too_many_batches(drafts) or resolve_dependencies(by_id, fresh, user, any_replaced)
  if refusal then return refusal end
  local older, owners, kept = find_superseded(drafts, user)
  refusal = find_exceeded_limit(fresh, older, owners, kept, tenant, request.limits)
  if refusal then return refusal end

  local superseded, deferred = nil, 0
  if #older + #owners > 0 then superseded, deferred = cancel_older(older, owners, kept) end
  for _, draft in ipairs(fresh) do create(draft, user, tenant, request.terms, batch, key, any_replaced or #owners > 0) end
  if #fresh > 0 then notify_workers() end
  bind(drafts, user, batch, key, request.body)

  return function()
    local answers = {}
    for i, draft in ipairs(drafts) do
      -- What is new, its sender knows: but for the time, and what it waits for.
      if draft.fresh then
        local place = draft.step == 'queued' and position(draft.id, draft.priority) or false
        answers[i] = { 'queued', false, digits[now], draft.step, digits[draft.at], place, table.concat(draft.deps, ' ') }
      else
        answers[i] = { draft.outcome, known_task(draft.becomes) }
      end
    end
    return { 'accepted', answers, superseded and superseded({}) or {}, false, deferred }
  end
end

local requests, names, i = {}, { Q .. 'superseded' }, 2
while i <= #ARGV do
  requests[#requests + 1], i = to_request(i)
  for _, draft in ipairs(requests[#requests].drafts) do names[#names + 1] = P .. 'task:' .. draft.id end
end
-- One EXISTS for all keys: in most calls, none of them exists.
local any_replaced = false
if call('EXISTS', unpack(names)) > 0 then
  any_replaced = call('EXISTS', Q .. 'superseded') == 1
  for _, request in ipairs(requests) do
    for _, draft in ipairs(request.drafts) do draft.known = call('EXISTS', P .. 'task:' .. draft.id) == 1 end
  end
end

local answers = {}
for n, request in ipairs(requests) do answers[n] = accept(request, any_replaced) end
if #records > 0 then
  write_dependents()
  write_new()
end
commit()
for n, answer in ipairs(answers) do
  if type(answer) == 'function' then answers[n] = answer() end
end
return answers
