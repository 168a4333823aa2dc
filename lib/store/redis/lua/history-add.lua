#!lua
-- history-add: adds what a process has counted in each minute.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] process  [3] id of the addition  [4] ms that a minute is kept, then for each minute three: when it began (ms)
--   what was counted: name=number …  the latest failures, the latest first: code=task_id,ms;task_id,ms …
-- Returns 1, or 0 if this very addition has been made before
-- Atomic because an addition that is repeated must add all or nothing.
--- @include "start"
--- @include "history"
-- Error codes of a minute, beyond which failures count as `other`; and failures that are kept of each code.
local MAX_CODES, MAX_LATEST = RULES.MAX_CODES, RULES.MAX_LATEST
-- ms that the id of the latest addition is kept: longer than a process repeats it.
local REPEATABLE_MS = 3600000
local id_key = Q .. 'counted:' .. ARGV[2]
if call('GET', id_key) == ARGV[3] then return 0 end

-- Calls `visit` with each name and its value.
local function each_word(text, visit)
  for name, value in string.gmatch(text, '([^ =]+)=([^ =]+)') do visit(name, value) end
end
local function to_text(values)
  local words = {}
  for name, value in pairs(values) do words[#words + 1] = name .. '=' .. value end
  return table.concat(words, ' ')
end

-- The counts of a minute with those that are added; and the names under which error codes beyond the limit are counted.
local function add_counts(known, added)
  local values, codes, renamed = {}, 0, {}
  each_word(known, function(name, value)
    local number = tonumber(value)
    if number and is_number(number) then
      values[name] = digits[number]
      if string.find(name, '^failed:%u') then codes = codes + 1 end
    end
  end)
  each_word(added, function(name, value)
    local code = string.match(name, '^failed:(%u.*)')
    if code and not values[name] then
      codes = codes + 1
      if codes > MAX_CODES then name, renamed[code] = 'failed:other', 'other' end
    end
    values[name] = digits[(tonumber(values[name]) or 0) + tonumber(value)]
  end)
  return to_text(values), renamed
end

-- The latest failures of one code, each task once.
local function merge_latest(known, added)
  local latest, times = {}, {}
  for id, at in string.gmatch(added .. ';' .. known, '([%x-]+),(%d+)') do
    if not times[id] then latest[#latest + 1] = id end
    times[id] = math.max(times[id] or 0, tonumber(at))
  end
  table.sort(latest, function(a, b) return times[a] > times[b] end)
  local entries = {}
  for i = 1, math.min(#latest, MAX_LATEST) do entries[i] = latest[i] .. ',' .. digits[times[latest[i]]] end
  return table.concat(entries, ';')
end

local function add_latest(known, added, renamed)
  local values = {}
  each_word(known, function(code, entries) values[code] = entries end)
  each_word(added, function(code, entries)
    code = renamed[code] or code
    values[code] = merge_latest(values[code] or '', entries)
  end)
  return to_text(values)
end

for i = 5, #ARGV, 3 do
  local minute, counts, latest = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key, text, renamed = hour_key('history', tonumber(minute)), nil, nil
  text, renamed = add_counts(call('HGET', key, minute) or '', counts)
  call('HSET', key, minute, text)
  call('PEXPIRE', key, ARGV[4])
  if latest ~= '' then
    key = hour_key('failed', tonumber(minute))
    call('HSET', key, minute, add_latest(call('HGET', key, minute) or '', latest, renamed))
    call('PEXPIRE', key, ARGV[4])
  end
end
call('SET', id_key, ARGV[3], 'PX', digits[REPEATABLE_MS])
return 1
