#!lua
-- dequeue: claims up to n tasks, each with a lease; collects expired leases and due retries on the way.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] worker  [3] claim id  [4] n  [5] lease (ms)  [6] most running of a tenant, 0 = off
-- ARGV[7] attempts that go on in the worker meanwhile  [8] lane (0 or 1); last: what the time should be or ''
-- Returns { claimed tasks, what ended meanwhile, ms until something is due or -1, now, 1 if more is to be settled,
--   { task_id, attempt, worker } of leases that expired }
-- Atomic because a task between two lists is lost when its worker dies there.
--- @include "plain-exchange"
-- What an idle worker finds again and again.
local any = call('EXISTS', note_of(ARGV[2]), Q .. 'waiting', Q .. 'processing', Q .. 'unsettled', Q .. 'delayed', queue('again'), queue('high'), queue('normal'), queue('low'))
if any == 0 then return { {}, {}, -1, digits[now], 0, {} } end
local _, claimed = exchange_plain(ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
if claimed then return claimed end
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
--- @include "clock"
--- @include "take"
return claim_tasks({}, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), notes_for(ARGV[2]))
