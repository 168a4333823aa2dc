#!lua
-- claim: gives leases on up to n tasks to a worker. Before that, handles expired leases, queue timeouts and tasks that have become due.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] worker  [3] claim id  [4] n  [5] lease (ms)  [6] most running tasks of a tenant, 0 = off
-- ARGV[7] attempts that go on in the worker meanwhile  [8] lane (0 or 1); last: what the time should be or ''
-- Returns { claimed tasks, what ended meanwhile, ms until something is due or -1, now, 1 if work was deferred,
--   { task_id, attempt, worker } of leases that expired }
--   a claimed task: { record, state } or { record, state, checkpoints or false, lost workers or false, request or nil }
-- Atomic because a task that is in neither a queue nor `processing` is lost if the worker dies there.
--- @include "plain-exchange"
-- The common case of an idle worker: nothing exists that could be due or next.
local keys_in_use = call('EXISTS', last_claim_key, Q .. 'waiting', Q .. 'processing', Q .. 'deferred', Q .. 'delayed',
  queue('requeued'), queue('high'), queue('normal'), queue('low'))
if keys_in_use == 0 then return { {}, {}, -1, digits[now], 0, {} } end
local _, claimed = exchange_plain()
if claimed then return claimed end
--- @include "lifecycle"
--- @include "clock-set-back"
--- @include "claim-tasks"
return claim_tasks({}, read_claim_state())
