#!lua
-- enqueue: accepts the tasks of requests, or answers with the tasks that there are already. Of each request all or none; a refused one changes
--   nothing of the others.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME), then for each request six:
--   user_id  tenant
--   limits and terms, with spaces: most waiting tasks of a tenant, most tasks of all that could run, most tasks of a tenant that wait for a time
--     or for others (0 = off each), 1 where the store keeps the charts, most ms in the queue (0 = off), weight of the tenant
--   hashes of the Idempotency-Key and of the body, or ''  batch_id or ''  n
--   and n times five: task_id  the words of its terms behind the dedup key  dedup key  request
--     options as JSON or '': force, chart_check (chart that the host was asked for), chart_exists (the host has it), run_at (when it may run at the earliest, ms),
--     supersede (it ends the caller's older tasks of the message), needs (task_ids), retry_of (the task that it repeats), extras (of the terms)
-- Returns for each request { reason, which } if it is refused, else { 'accepted' | 'replayed',
--   { { 'queued', false, now, step, step_at, position or false, dependencies } of a new task,
--     or { outcome, task, or its id once the tasks before have a MiB } … },
--   tasks that were cancelled for it, the batch that a key leads to or false, 1 if work was deferred };
--   where all was plain, { 'plain', now, position … } of all tasks of all requests
-- Atomic because fifty equal requests at once must make one task, and a key must belong to one task for good.
--- @include "plain-enqueue"
local plain = enqueue_plain()
if plain then return plain end
--- @include "base"
--- @include "queue"
--- @include "index-ended"
--- @include "is-superseded"
--- @include "duplicates"
--- @include "dependencies"
--- @include "find-superseded"
--- @include "limits"
--- @include "create"
--- @include "bind"
--- @include "commit"
-- A function of its own, so that its functions are created only if tasks are superseded. Returns what makes the replies of those that have
-- ended, once all is written, and 1 if work was deferred.
local function cancel_older(older, owners, kept)
--- @include "lifecycle"
  fetch(older)
  -- A task that needs another of them is cancelled with it, and does not fail because of it.
  for _, id in ipairs(older) do cancel_task(id) end
  for _, owner in ipairs(owners) do supersede(owner, kept) end
  local has_deferred = run_deferred(#owners > 0 or call('EXISTS', Q .. 'deferred') == 1)
  return ended_besides, has_deferred and 1 or 0
end

-- Bytes of known tasks that a reply may still have. The caller reads the others in slices: a large reply would hold Redis up.
local room = 2 ^ 20
local function known_task(id)
  if room <= 0 then return find_kept(id) and id end
  local known = task_reply(id)
  if known then room = room - reply_bytes(known) end
  return known
end

-- The request that begins at ARGV[i], and where the next one begins.
local function to_request(i)
  local waiting, ready, scheduled, stores_content, timeout, weight = string.match(ARGV[i + 2], '(%d+) (%d+) (%d+) (%d) (%d+) (%d+)')
  local key, body = string.match(ARGV[i + 3], '(%S+) (%S+)')
  local request = {
    user = ARGV[i], tenant = ARGV[i + 1], key = key or '', body = body or '', batch = ARGV[i + 4], stores_content = stores_content == '1', drafts = {},
    limits = { waiting = tonumber(waiting), ready = tonumber(ready), scheduled = tonumber(scheduled) },
    terms = { tenant = ARGV[i + 1], queue_timeout = timeout ~= '0' and tonumber(timeout) or nil, weight = tonumber(weight) }
  }
  local n = tonumber(ARGV[i + 5])
  i = i + PER_REQUEST
  for d = 1, n do
    local options = ARGV[i + 4] == '' and {} or cjson.decode(ARGV[i + 4])
    local message, priority = string.match(ARGV[i + 1], '^(%S+) (%l+)')
    request.drafts[d] = {
      id = ARGV[i], message = message, user = request.user, head = ARGV[i + 1], dedup_key = ARGV[i + 2], force = options.force, request = ARGV[i + 3],
      chart_check = options.chart_check or '', chart_exists = options.chart_exists, priority = priority, run_at = options.run_at or 0, supersede = options.supersede,
      needs = options.needs or '', retry_of = options.retry_of or '', extras = options.extras or {}
    }
    i = i + PER_DRAFT
  end
  return request, i
end

-- The answer to a request that was made before: by this very call, if its reply was lost, or with the same Idempotency-Key. Nil if there is none.
local function find_repeated(request)
  local drafts, batch, key = request.drafts, request.batch, request.key
  local known_ids = drafts[1].known and drafts[1].id
  if batch ~= '' then known_ids = call('HGET', Q .. 'batch:' .. batch, 'ids') end
  if known_ids then
    return function()
      local repeated = {}
      for id in string.gmatch(known_ids, '%S+') do
        local task = find(id)
        local outcome = task and task.state.completed and 'chart_exists' or 'already_active'
        if id == drafts[#repeated + 1].id then outcome = 'queued' end
        repeated[#repeated + 1] = { outcome, known_task(id) }
      end
      return { 'accepted', repeated, {} }
    end
  end
  local answer = key ~= '' and call('GET', Q .. 'idempotency:' .. key)
  if not answer then return end
  -- The key leads to a task or to a batch; behind that is the hash of the body that it came with.
  local bound, ids = string.sub(answer, 1, 36), {}
  for id in string.gmatch(call('HGET', Q .. 'batch:' .. bound, 'ids') or bound, '%S+') do
    if find_kept(id) then ids[#ids + 1] = id end
  end
  if #ids == 0 then return end
  if string.sub(answer, 37) ~= request.body then return { 'key_reused' } end
  return function()
    local found = {}
    for n, id in ipairs(ids) do found[n] = { 'replayed', known_task(id) } end
    return { 'replayed', found, {}, bound }
  end
end

-- Returns a refusal, or a function that makes the answer once all is written.
local function accept(request, any_superseded)
  local drafts, user, tenant, batch, key = request.drafts, request.user, request.tenant, request.batch, request.key
  local repeated = find_repeated(request)
  if repeated then return repeated end
  local by_id, new, unchecked = match_duplicates(drafts, request.stores_content, any_superseded)
  if unchecked then return unchecked end
  local refusal = batch ~= '' and find_too_many_batches(drafts) or resolve_dependencies(by_id, new, user, any_superseded)
  if refusal then return refusal end
  local older, owners, kept = find_superseded(drafts, user)
  refusal = find_exceeded_limit(new, older, owners, kept, tenant, request.limits)
  if refusal then return refusal end

  local cancelled, deferred = nil, 0
  if #older + #owners > 0 then cancelled, deferred = cancel_older(older, owners, kept) end
  for _, draft in ipairs(new) do create(draft, user, tenant, request.terms, batch, key, any_superseded or #owners > 0) end
  if #new > 0 then notify_workers() end
  bind(drafts, user, batch, key, request.body)

  return function()
    local answers = {}
    for i, draft in ipairs(drafts) do
      -- The caller has the rest of a new task.
      if draft.is_new then
        local place = draft.step == 'queued' and position(draft.id, draft.priority) or false
        answers[i] = { 'queued', false, digits[now], draft.step, digits[draft.step_at], place, table.concat(draft.deps, ' ') }
      else
        answers[i] = { draft.outcome, known_task(draft.becomes) }
      end
    end
    return { 'accepted', answers, cancelled and cancelled({}) or {}, false, deferred }
  end
end

local requests, names, i = {}, { Q .. 'superseded' }, 2
while i <= #ARGV do
  requests[#requests + 1], i = to_request(i)
  for _, draft in ipairs(requests[#requests].drafts) do names[#names + 1] = P .. 'task:' .. draft.id end
end
-- One EXISTS for all keys: in most calls, none of them exists.
local any_superseded = false
if call('EXISTS', unpack(names)) > 0 then
  any_superseded = call('EXISTS', Q .. 'superseded') == 1
  for _, request in ipairs(requests) do
    for _, draft in ipairs(request.drafts) do draft.known = call('EXISTS', P .. 'task:' .. draft.id) == 1 end
  end
end

local answers = {}
for n, request in ipairs(requests) do answers[n] = accept(request, any_superseded) end
if #new_values > 0 then write_new_tasks() end
commit()
for n, answer in ipairs(answers) do
  if type(answer) == 'function' then answers[n] = answer() end
end
return answers
