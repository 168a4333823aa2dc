-- What every script begins with. KEYS[1] prefix, ARGV[1] now (ms, '' = TIME).

-- Every key and channel is derived from P. Q also has the number of the record format, so that versions of the package with different
-- formats do not share a queue.
local P = KEYS[1]
local Q = P .. '2:'
--- @include "call"
local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Whether a number can be a count or a time of ours: others come from damaged keys. Comparisons with NaN are false.
local MAX_NUMBER = 2 ^ 53
local function is_number(value) return value >= 0 and value < MAX_NUMBER end
local function to_number(text)
  local number = tonumber(text or nil)
  return number and is_number(number) and number or nil
end

-- Whole numbers as text, each printed once: Lua takes as long to print a number as Redis to run a command, and a call prints few
-- different ones. NaN is printed as 0.
local digits = setmetatable({}, {
  __index = function(known, number)
    if number ~= number then return '0' end
    -- %d takes half as long as %.0f, but knows no larger numbers, and cuts off what is behind the point.
    local is_exact = number % 1 == 0 and math.abs(number) < MAX_NUMBER
    local text = string.format(is_exact and '%d' or '%.0f', number)
    known[number] = text
    return text
  end
})

-- Longest request (bytes) that is part of its task's record. A longer one has a key of its own.
local MAX_INLINE_BYTES = 1024
-- The tenant of terms, where '=' stands for the user alone.
local function to_tenant(word, user) return word == '=' and 'user:' .. user or word end
-- How a compacted request begins: a task_id, some letters, and the rest of its JSON (compact-request.ts).
local COMPACT = '^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x[fnoptu]*[,}]'
-- Tasks, and bytes of them, that one call claims: Redis serves no other client meanwhile. Another worker is signalled for the rest.
local MAX_CLAIMED, MAX_CLAIMED_BYTES = RULES.MAX_CLAIMED, RULES.MAX_CLAIMED_BYTES

-- Lets a key expire in `ttl` ms, unless it is already kept for longer: keys with entries of many tasks expire with the last of these.
local function prolong(key, ttl)
  if call('PEXPIRE', key, ttl, 'NX') == 0 then call('PEXPIRE', key, ttl, 'GT') end
end
