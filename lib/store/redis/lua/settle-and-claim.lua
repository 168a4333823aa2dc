#!lua
-- settle-and-claim: ends leases, and claims the next tasks in the same round trip.
-- KEYS[1] prefix
-- ARGV as in shared/close.lua
-- Returns what close returns
-- Atomic as close is. Refused where Redis is full, before it has done anything: new work must not begin then.
--- @include "plain-exchange"
local settled, claimed = exchange_plain(ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
if settled then return { settled, claimed } end
--- @include "close"
