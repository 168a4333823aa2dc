#!lua
-- settle-and-claim: ends leases with complete, fail or release, and gives leases on up to n tasks to the worker in the same round trip.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] worker  [3] claim id  [4] n  [5] lease (ms)  [6] most running tasks of a tenant, 0 = off
-- ARGV[7] attempts that go on in the worker meanwhile  [8] lane (0 or 1)
-- then for each lease seven: task_id  lease  verb  and
--   complete: chart_id, content or '' where the host keeps it, '1' where the state is enough of an answer, ''
--   fail: code, message, delay (ms; '' = the task's own backoff, 'never' = no more attempts), random 0-1 for the jitter
--   release: '', '', '', ''
-- last: what the time should be or ''
-- Returns { { { 'ok' | 'stale', if it ended: the task, or its state where that is enough } … }, what claim returns }
-- Atomic because only the lease that is checked here may write, and a repetition must find both or neither. A full Redis refuses it as a whole,
--   before it has changed anything, because it must not start new work: settle.lua then ends the leases alone.
--- @include "plain-exchange"
local settled, claimed = exchange_plain()
if settled then return { settled, claimed } end
--- @include "settle-attempts"
