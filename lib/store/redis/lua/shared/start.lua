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

-- Whole numbers as text: to print a number takes longer than a command does, and most of those that a call prints are alike.
local digits = setmetatable({}, {
  __index = function(known, number)
    if number ~= number then return '0' end
    local text = string.format('%.0f', number)
    known[number] = text
    return text
  end
})

-- Bytes of a request that is part of its task's record.
local MAX_INLINE = 1024
-- Of what is handed out, so much at once: Redis serves nobody else meanwhile. What is left over wakes the next.
local MAX_CLAIMED, MAX_CLAIMED_BYTES = RULES.MAX_CLAIMED, RULES.MAX_CLAIMED_BYTES

-- Above it, a number is not a count or a time of ours. Of NaN, no comparison is true.
local MAX_NUMBER = 2 ^ 53
local function is_number(value) return value >= 0 and value < MAX_NUMBER end

-- What has entries of many tasks expires with the one that is kept longest.
local function prolong(key, keep)
  if call('PEXPIRE', key, keep, 'NX') == 0 then call('PEXPIRE', key, keep, 'GT') end
end
