-- Ends leases, then claims the next tasks: what close and settle-and-claim do. They differ in whether a full Redis lets them.
-- ARGV[1] now (ms, '' = TIME)  [2] worker, '' where nothing is to be claimed  [3] claim id  [4] n  [5] lease (ms)  [6] most running of a tenant, 0 = off
-- ARGV[7] attempts that go on in the worker meanwhile  [8] lane (0 or 1)
-- then for each lease seven: task_id  lease  verb  and
--   complete: chart_id, content or '' where the host keeps it, '1' where the state is enough of an answer, ''
--   fail: code, message, delay (ms; '' = the task's own backoff, 'never' = no more attempts), random 0-1 for the jitter
--   release: '', '', '', ''
-- last: what the time should be or ''
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
--- @include "clock"
--- @include "take"
local function backoff(policy, attempt, random)
  local kind, delay, max, jitter = string.match(policy, '(%l+),([^,]+),([^,]+),([^,]+)')
  -- What cannot be read is no wait.
  delay, max, jitter = to_count(delay), to_count(max), to_count(jitter)
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

local closed, own, cap, ids = {}, {}, ARGV[2] ~= '' and tonumber(ARGV[6]) or nil, {}
local notes = ARGV[2] ~= '' and notes_for(ARGV[2]) or { false, false, call('GET', Q .. 'unsettled') }
for i = 9, #ARGV - 1, 7 do ids[#ids + 1] = ARGV[i] end
fetch(ids)
for n, id in ipairs(ids) do
  local i = 2 + 7 * n
  local task, lease, verb = find(id), tonumber(ARGV[i + 1]), ARGV[i + 2]
  local state = task and task.state
  closed[n] = 'stale'
  if state and notes[3] and state.status == 'PROCESSING' and is_superseded(id, task.terms) then cancel_task(id) end
  if state and state.lease == lease and state.status == 'PROCESSING' then
    end_lease(task, verb, cap)
    verbs[verb](task, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    closed[n] = has_ended[id] and 'ended' or 'ok'
  elseif state and state.lease == lease and state.settled_by == verb then
    -- The reply to this very call was lost.
    closed[n] = (state.status == 'COMPLETED' or state.status == 'FAILED') and 'ended' or 'ok'
  end
  own[id] = own[id] or closed[n] ~= 'stale'
end

-- What has ended in these is this call's own work; what it may end or let run besides is bounded apart.
cascaded = 0

local function answers()
  local replies = {}
  for n, answer in ipairs(closed) do replies[n] = answer == 'ended' and { 'ok', task_reply(ids[n]) } or { answer } end
  return replies
end
-- Without a claim, nothing else is collected: were the reply lost, what has ended could not be asked for again.
local rest
if ARGV[2] == '' then
  rest = finish_call({}, own, run_deferred(false) or notes[3], {})
else
  rest = claim_tasks(own, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), notes)
end
return { answers(), rest }
