-- Ends leases, then takes the next tasks: what close and settle-and-claim do. They differ in whether a full Redis lets them.
-- ARGV[1] now (ms, '' = TIME)  [2] worker, '' where nothing is to be taken  [3] take id  [4] n  [5] lease (ms)  [6] most running of a tenant, 0 = off
-- ARGV[7] attempts that go on in the worker meanwhile
-- then for each lease seven: task_id  lease  verb  and
--   complete: chart_id, content or '' where the host keeps it, '', ''
--   fail: code, message, delay (ms; '' = the task's own backoff, 'never' = no more tries), random 0-1 for the jitter
--   release: '', '', '', ''
-- last: what the time should be or ''
--- @include "base"
--- @include "clock"
--- @include "index"
--- @include "queue"
--- @include "leave"
--- @include "finish"
--- @include "weigh"
--- @include "take"
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
    -- The reply to this very call was lost.
    answer = { 'ok', (status == 'COMPLETED' or status == 'FAILED') and read(id) or nil }
  end
  own[id] = own[id] or answer[1] == 'ok'
  closed[#closed + 1] = answer
end
-- Without a take, nothing else is collected: were the reply lost, what has ended could not be asked for again.
if ARGV[2] == '' then
  local unsettled = settle(false) or notes[3]
  return { closed, { {}, others(own), next_due(unsettled), tostring(now), unsettled and 1 or 0, {} } }
end
return { closed, take(own, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), notes) }
