-- What the caller's monotonic clock says of the time, as the last argument; '' where it does not know. After base.lua.
local expected_now = tonumber(ARGV[#ARGV])
-- Leases and waits that end by both clocks: where Redis' own was set forward, their holders live.
local expired_by = expected_now and math.min(now, expected_now) or now
local CLOCK_TOLERANCE_MS = 2000
