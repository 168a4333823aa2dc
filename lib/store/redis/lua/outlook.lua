#!lua flags=no-writes
-- outlook: what estimates are made of: where running tries are, and what the latest charts took.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)
-- Returns { now, 1 if paused, since when the head of a queue waits or false, how many run, { step, at } of running ones, { trace, completed } of charts }
-- Nothing is kept for this alone: the records know when their steps began, and are forgotten with what was learnt from them.
--- @include "base"
local MOST, MOST_READ, PAGE = 100, 500, 100
local since
for _, name in ipairs(QUEUES) do
  local head = call('ZRANGE', queue(name), 0, 0)[1]
  local at = tonumber(head and call('HGET', record(head), 'at') or nil)
  if at and (not since or at < since) then since = at end
end

local running = {}
for _, id in ipairs(call('ZRANGE', P .. 'processing', 0, MOST - 1)) do
  local t = call('HMGET', record(id), 'step', 'at')
  if t[2] then running[#running + 1] = t end
end

local completed = {}
for from = 0, MOST_READ - 1, PAGE do
  local ids = call('ZREVRANGE', P .. 'finished', from, from + PAGE - 1)
  for _, id in ipairs(ids) do
    local t = call('HMGET', record(id), 'status', 'expires', 'trace', 'completed')
    if #completed < MOST and t[1] == 'COMPLETED' and tonumber(t[2]) > now and t[3] then completed[#completed + 1] = { t[3], t[4] } end
  end
  if #completed == MOST or #ids < PAGE then break end
end
return { tostring(now), call('EXISTS', P .. 'paused'), since and tostring(since) or false, call('ZCARD', P .. 'processing'), running, completed }
