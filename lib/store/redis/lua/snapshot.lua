#!lua flags=no-writes
-- snapshot: what estimates are computed from: where running attempts are, and what the latest charts took.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)
-- Returns { now, 1 if paused, since when the head of a queue waits or false, how many run, { step, step_at } of running attempts,
--   { trace, completed } of charts }
-- Reads records only: they have the times at which steps began, so that nothing is stored for estimates alone.
-- Atomic because a task must not be both waiting and running.
--- @include "base"
local MAX_FOUND, MAX_READ, PAGE = RULES.MAX_IN_SNAPSHOT, RULES.MAX_SNAPSHOT_SEARCHED, 100
local waits_since
for _, name in ipairs(QUEUES) do
  local head = find(call('ZRANGE', queue(name), 0, 0)[1] or '')
  if head and (not waits_since or head.state.step_at < waits_since) then waits_since = head.state.step_at end
end

-- Only the words that are needed: to parse all of them takes several times as long.
local RUNNING, COMPLETED = '^%d+ PROCESSING %d+ (%S+) (%d+)', '^%d+ COMPLETED %d+ %S+ %d+ %d* %d* %d+ %d+ %d* (%d+) %S* %S* %S* %l* (%S*)'
local running, ids = {}, call('ZRANGE', Q .. 'processing', 0, MAX_FOUND - 1)
for _, text in ipairs(#ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}) do
  local step, step_at = string.match(text or '', RUNNING)
  if step then running[#running + 1] = { step, step_at } end
end

local completed = {}
for from = 0, MAX_READ - 1, PAGE do
  ids = call('ZREVRANGEBYSCORE', Q .. 'finished', '+inf', '(' .. digits[now], 'LIMIT', from, PAGE)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = P .. 'task:' .. id end
  for _, record in ipairs(#ids > 0 and call('MGET', unpack(keys)) or {}) do
    local completed_at, trace = string.match(record or '', COMPLETED)
    if completed_at and #completed < MAX_FOUND then completed[#completed + 1] = { trace, completed_at } end
  end
  if #completed == MAX_FOUND or #ids < PAGE then break end
end
return { tostring(now), call('EXISTS', Q .. 'paused'), waits_since and tostring(waits_since) or false, call('ZCARD', Q .. 'processing'), running, completed }
