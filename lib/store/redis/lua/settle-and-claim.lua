#!lua
-- settle-and-claim: ends leases, and claims the next tasks in the same round trip.
-- KEYS[1] prefix
-- ARGV as in shared/close.lua
-- Returns what close returns
-- Atomic as close is. Refused where Redis is full, before it has done anything: new work must not begin then.
--- @include "close"
