-- Ends leases, then claims the next tasks: what settle and settle-and-claim do. They differ in whether a full Redis refuses them.
-- ARGV as in settle-and-claim.lua.
--- @include "last-claim"
--- @include "lifecycle"
--- @include "clock-set-back"
--- @include "claim-tasks"
-- ms until the next attempt.
local function backoff(policy, attempt, random)
  local kind, delay, max, jitter = string.match(policy, '(%l+),([^,]+),([^,]+),([^,]+)')
  -- Without a delay where the policy is damaged.
  delay, max, jitter = to_number(delay) or 0, to_number(max) or 0, to_number(jitter) or 0
  if kind == 'exponential' then delay = delay * 2 ^ (attempt - 1) end
  return math.floor(math.min(delay, max) * (1 - jitter * random))
end

local verbs = {}
function verbs.complete(task, chart, content)
  if content ~= '' then call('SET', P .. 'chart:' .. chart, content, 'PX', digits[task.terms.keep_task]) end
  task.state.chart, task.state.progress = chart, 100
  finish(task, 'COMPLETED')
end
function verbs.fail(task, code, message, delay, random)
  local state = task.state
  if delay == 'never' or state.attempt >= task.terms.max then
    extras_of(state).code, extras_of(state).error = code, message ~= '' and message or nil
    finish(task, 'FAILED')
  else
    requeue(task, 'retrying', tonumber(delay) or backoff(task.terms.backoff, state.attempt, tonumber(random)), 'fail', code, message)
  end
end
function verbs.release(task)
  requeue(task, 'queued', 0, 'release')
end

local is_claim = ARGV[2] ~= ''
local last_claim, paused, has_deferred
if is_claim then last_claim, paused, has_deferred = read_claim_state() else has_deferred = call('GET', Q .. 'deferred') end

-- How each lease was settled: 'stale', 'ok', or 'ended' if the task has a final status. `own`: ids of tasks that are answered with that.
local ids, outcomes, own = {}, {}, {}
for i = 9, #ARGV - 1, 7 do ids[#ids + 1] = ARGV[i] end
fetch(ids)
for n, id in ipairs(ids) do
  local i = 2 + 7 * n
  local task, lease, verb = find(id), tonumber(ARGV[i + 1]), ARGV[i + 2]
  local state = task and task.state
  outcomes[n] = 'stale'
  if state and has_deferred and state.status == 'PROCESSING' and is_superseded(id, task.terms) then cancel_task(id) end
  if state and state.lease == lease and state.status == 'PROCESSING' then
    end_lease(task, verb, is_claim and claim.max_running or nil)
    verbs[verb](task, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    outcomes[n] = has_ended[id] and 'ended' or 'ok'
  elseif state and state.lease == lease and state.settled_by == verb then
    -- The reply to this very call was lost.
    outcomes[n] = (state.status == 'COMPLETED' or state.status == 'FAILED') and 'ended' or 'ok'
  end
  own[id] = own[id] or outcomes[n] ~= 'stale'
end

-- The caller bounds what it settles; MAX_CASCADE bounds what ends because of that.
cascaded = 0

local claimed
if is_claim then
  claimed = claim_tasks(own, last_claim, paused, has_deferred)
else
  -- Without a claim, skip lease collection: if this reply were lost, the endings could not be replayed.
  claimed = finish_call({}, own, run_deferred(false) or has_deferred, {})
end
local settled = {}
for n, outcome in ipairs(outcomes) do settled[n] = outcome == 'ended' and { 'ok', task_reply(ids[n]) } or { outcome } end
return { settled, claimed }
