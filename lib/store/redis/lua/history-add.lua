#!lua
-- history-add: adds what a process has counted, by minutes.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] process  [3] id of the addition  [4] ms that a minute is kept, then for each minute three: when it began (ms)
--   what was counted: name=number …  the latest failures, the latest first: code=task_id,ms;task_id,ms …
-- Returns 1, or 0 where this very addition has been made before
-- Atomic because an addition that is repeated must add all or nothing.
--- @include "start"
--- @include "history"
local MAX_CODES, MAX_LATEST = RULES.MAX_CODES, RULES.MAX_LATEST
-- ms that the latest addition of a process is known. It is repeated for less.
local MAX_REPEATED = 3600000
local mark = Q .. 'counted:' .. ARGV[2]
if call('GET', mark) == ARGV[3] then return 0 end

-- Calls `visit` with each name and its value.
local function each_word(text, visit)
  for name, value in string.gmatch(text, '([^ =]+)=([^ =]+)') do visit(name, value) end
end
local function to_text(values)
  local words = {}
  for name, value in pairs(values) do words[#words + 1] = name .. '=' .. value end
  return table.concat(words, ' ')
end

-- Texts of a minute as they are, with what is added; and what error codes that are one too many are called.
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

local function merged(known, added)
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
    values[code] = merged(values[code] or '', entries)
  end)
  return to_text(values)
end

for i = 5, #ARGV, 3 do
  local minute, counts, latest = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key, text, renamed = hour_of('history', tonumber(minute)), nil, nil
  text, renamed = add_counts(call('HGET', key, minute) or '', counts)
  call('HSET', key, minute, text)
  call('PEXPIRE', key, ARGV[4])
  if latest ~= '' then
    key = hour_of('failed', tonumber(minute))
    call('HSET', key, minute, add_latest(call('HGET', key, minute) or '', latest, renamed))
    call('PEXPIRE', key, ARGV[4])
  end
end
call('SET', mark, ARGV[3], 'PX', digits[MAX_REPEATED])
return 1
