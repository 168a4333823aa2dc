-- The last argument of a script that includes this: the time (ms) by the caller's monotonic clock, '' where the caller does not know it.
local expected_now = tonumber(ARGV[#ARGV])
-- Leases and timeouts expire when both clocks say so: if Redis' clock was set forward, their holders are still alive.
local expired_by = expected_now and math.min(now, expected_now) or now
-- Difference (ms) above which Redis' clock was set back. Smaller ones are drift, or the time that a command took.
local CLOCK_TOLERANCE_MS = 2000
