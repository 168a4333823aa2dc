#!lua
-- enqueue: accepts tasks, all or none of them, or answers with those that there are already.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] user_id  [3] tenant  [4] hash of the Idempotency-Key or ''  [5] hash of the body
-- ARGV[6] most waiting of a tenant  [7] most that could run, of everybody  [8] retention 'task details index' (ms)
-- ARGV[9] attempts  [10] backoff 'type delay max jitter'  [11] 1: charts are kept in here  [12] batch_id or ''
-- ARGV[13] most ms in the queue or ''  [14] weight of the tenant or '' for 1  [15] most of a tenant that wait for a time or for others
-- then for each task thirteen: task_id  message_id  org that shares the chart or ''  hash of what makes two requests the same
--   force 0|1  request  chart that the host was asked for or ''  1: it has it  priority  when it may run at the earliest (ms) or ''
--   1: instead of the caller's older tasks of the message  task_ids that it needs  the task that it repeats or ''
-- Returns { 'accepted' | 'replayed', { { outcome, record, or its id where the records before have a MiB } or { 'queued', false, now, step, at, position or false, what it needs } … }, records of tasks that were cancelled for it, the batch that a key leads to or false, 1 if more is to be settled }, or { why not, which }
-- Atomic because fifty equal requests at once must make one task, and a key must belong to one task for good.
--- @include "base"
--- @include "index"
--- @include "queue"
--- @include "decide"
--- @include "create"
--- @include "bind"
--- @include "weigh"
--- @include "ref"
-- Its functions are made only where there is something to end: Lua makes them anew in every call.
local function cancel_older(older, owners, kept)
--- @include "leave"
--- @include "finish"
  -- One that needs another of them is cancelled with it, and does not fail for it.
  for _, id in ipairs(older) do put_cancelled(id) end
  for _, owner in ipairs(owners) do supersede(owner, kept) end
  local unsettled = settle(#owners > 0 or call('EXISTS', P .. 'unsettled') == 1)
  return others({}), unsettled and 1 or 0
end

-- A reply of many large tasks would hold Redis up: what is over is read in slices.
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
  -- One look for both, because mostly there is neither.
  if call('EXISTS', record(ARGV[i]), P .. 'superseded') > 0 then
    drafts[#drafts].known = call('EXISTS', record(ARGV[i])) == 1
    any_replaced = call('EXISTS', P .. 'superseded') == 1
  end
end

-- This very call has been here before: its reply was lost.
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
  -- What is new, its sender knows: but for the time, and what it waits for.
  if draft.fresh then
    local place = draft.step == 'queued' and position(draft.id, draft.priority) or false
    records[i] = { 'queued', false, tostring(now), draft.step, tostring(draft.at), place, table.concat(draft.deps, ' ') }
  else
    records[i] = { draft.outcome, known_record(draft.becomes) }
  end
end
return { 'accepted', records, superseded, false, unsettled }
