-- The prefixes that every key and channel is derived from, and the time (ms).
local P = KEYS[1]
-- Of the queue itself with the format of its records: versions of the package with another format neither see nor harm each other's.
local Q = P .. '2:'
local call = redis.call
local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
--- @include "tasks"
--- @include "order"
