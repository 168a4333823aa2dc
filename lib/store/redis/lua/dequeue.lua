#!lua
-- dequeue: takes up to n tasks, each with a lease; collects expired leases and due retries on the way.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] worker  [3] take id  [4] n  [5] lease (ms)  [6] most running of a tenant, 0 = off
-- ARGV[7] attempts that go on in the worker meanwhile; last: what the time should be or ''
-- Returns { taken records, records of what ended meanwhile, ms until something is due or -1, now, 1 if more is to be settled,
--   { task_id, attempt, worker } of leases that expired }
-- Atomic because a task between two lists is lost when its worker dies there.
--- @include "base"
--- @include "clock"
--- @include "index"
--- @include "queue"
--- @include "leave"
--- @include "finish"
--- @include "weigh"
--- @include "take"
return take({}, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), notes_for(ARGV[2]))
