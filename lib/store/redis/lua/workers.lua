#!lua flags=no-writes
-- workers: which workers there are, and a page of the running attempts.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] most workers, 0 = none of them  [3] how many running attempts to skip
-- Returns { now, { when a worker registered, then its registration … }, 1 if there are more workers,
--   { { task_id, message_id, worker, attempt, step, progress, when it began } … }, where the next page begins or -1 }
-- Atomic because an attempt must not move to another page meanwhile.
--- @include "start"
-- Running attempts that one call looks at: Redis serves no other client meanwhile.
local PAGE = 500
local most, from = tonumber(ARGV[2]), tonumber(ARGV[3])

local function values_of(kind, ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = kind .. id end
  return #keys > 0 and call('MGET', unpack(keys)) or {}
end

local workers, members = {}, most > 0 and call('ZREVRANGE', Q .. 'workers', 0, most) or {}
for i, text in ipairs(values_of(Q .. 'worker:', members)) do
  if text and i <= most then workers[#workers + 1] = text end
end

-- Only the words that are needed: to parse all of them takes several times as long.
local RUNNING, MESSAGE = '^%d+ PROCESSING (%d+) (%S+) %d+ %d* %d* (%d+) %d+ %d* %d* %S* (%S*) %S* %l* [^, ]*,(%d+)', '^2 %d+ %S+ %d* %S+ (%S+)'
local running, ids = {}, call('ZRANGE', Q .. 'processing', from, from + PAGE - 1)
local states = #ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}
for i, record in ipairs(values_of(P .. 'task:', ids)) do
  local progress, step, attempt, worker, began = string.match(states[i] or '', RUNNING)
  local first = progress and record and string.find(record, '\n', 1, true)
  local message = first and string.match(record, MESSAGE, first + 1)
  if message then running[#running + 1] = { ids[i], message, worker, attempt, step, progress, began } end
end
return { tostring(now), workers, #members > most and 1 or 0, running, #ids == PAGE and from + PAGE or -1 }
