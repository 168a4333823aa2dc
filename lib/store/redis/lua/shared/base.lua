-- The prefixes that every key and channel is derived from, and the time (ms).
local P = KEYS[1]
-- The prefix of the queue has the format of its records, so that versions of the package with different formats do not share a queue.
local Q = P .. '2:'
--- @include "call"
local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
--- @include "tasks"
--- @include "order"
