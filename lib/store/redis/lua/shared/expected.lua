-- What the caller's monotonic clock says of the time, as the last argument; '' where it does not know. After base.lua.
local expected = tonumber(ARGV[#ARGV])
-- Leases and waits that end by both clocks: where Redis' own was set forward, their holders live.
local ended_by = expected and math.min(now, expected) or now
local TOLERANCE = 2000
