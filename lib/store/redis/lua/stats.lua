#!lua flags=no-writes
-- stats: how busy the queue is.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)
-- Returns { waiting, processing, waiting for a time, when the oldest head of a queue was created or false, now, 1 if paused }
-- Atomic because the counts must be of the same moment.
--- @include "base"
local oldest = false
for _, name in ipairs(QUEUES) do
  local head = find(call('ZRANGE', queue(name), 0, 0)[1] or '')
  if head and (not oldest or head.terms.created < oldest) then oldest = head.terms.created end
end
local waiting = tonumber(call('HGET', Q .. 'waiting', ''))
-- A damaged count.
if waiting and not is_number(waiting) then waiting = nil end
return {
  waiting or call('ZCARD', Q .. 'active') - call('ZCARD', Q .. 'processing'),
  call('ZCARD', Q .. 'processing'),
  call('ZCARD', Q .. 'delayed'),
  oldest and tostring(oldest),
  tostring(now),
  call('EXISTS', Q .. 'paused')
}
