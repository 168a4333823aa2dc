#!lua
-- settle-and-claim: ends leases, and claims the next tasks in the same round trip.
-- KEYS[1] prefix
-- ARGV as in shared/settle-attempts.lua
-- Returns what settle returns
-- Atomic as settle is. A full Redis refuses it as a whole, before it has changed anything, because it must not start new work.
--- @include "plain-exchange"
local settled, claimed = exchange_plain()
if settled then return { settled, claimed } end
--- @include "settle-attempts"
