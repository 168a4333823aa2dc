#!lua
-- history-add: adds what a process has counted, by minutes.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] process  [3] id of the addition  [4] ms that a minute is kept, then for each minute: when it began (ms)
--   n, n times two: field  number;  and m, m times three: error code  number  its latest tasks, the latest first: task_id,ms and spaces between
-- Returns 1, or 0 where this very addition has been made before
-- Atomic because an addition that is repeated must add all or nothing.
--- @include "start"
--- @include "history"
local MAX_CODES, MAX_LATEST = 20, 5
-- ms that the latest addition of a process is known. It is repeated for less.
local MAX_REPEATED = 3600000
local mark = Q .. 'counted:' .. ARGV[2]
if call('GET', mark) == ARGV[3] then return 0 end

local function merged(known, added)
  local latest, times = {}, {}
  for id, at in string.gmatch(added .. ' ' .. known, '([%x-]+),(%d+)') do
    if not times[id] then latest[#latest + 1] = id end
    times[id] = math.max(times[id] or 0, tonumber(at))
  end
  table.sort(latest, function(a, b) return times[a] > times[b] end)
  local words = {}
  for i = 1, math.min(#latest, MAX_LATEST) do words[i] = latest[i] .. ',' .. digits[times[latest[i]]] end
  return table.concat(words, ' ')
end

local i = 5
local function next_argument()
  i = i + 1
  return ARGV[i - 1]
end
while i <= #ARGV do
  local minute = next_argument()
  local key = slot_of(tonumber(minute))
  for _ = 1, tonumber(next_argument()) do call('HINCRBY', key, minute .. ':' .. next_argument(), next_argument()) end
  for _ = 1, tonumber(next_argument()) do
    local code, number, latest = next_argument(), next_argument(), next_argument()
    if code ~= 'other' and not call('HGET', key, minute .. ':failed:' .. code) then
      if (tonumber(call('HGET', key, minute .. ':codes') or nil) or 0) < MAX_CODES then
        call('HINCRBY', key, minute .. ':codes', 1)
      else
        code = 'other'
      end
    end
    call('HINCRBY', key, minute .. ':failed:' .. code, number)
    local field = minute .. ':latest:' .. code
    call('HSET', key, field, merged(call('HGET', key, field) or '', latest))
  end
  call('PEXPIRE', key, ARGV[4])
end
call('SET', mark, ARGV[3], 'PX', digits[MAX_REPEATED])
return 1
