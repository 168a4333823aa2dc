#!lua flags=no-writes
-- stats: how busy the queue is.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)
-- Returns { waiting, processing, waiting for a time, when the oldest head of a queue was created or false, now, 1 if paused }
--- @include "base"
local oldest = false
for _, name in ipairs(QUEUES) do
  local head = call('ZRANGE', queue(name), 0, 0)[1]
  local created = head and call('HGET', record(head), 'created')
  if created and (not oldest or created < oldest) then oldest = created end
end
return {
  tonumber(call('HGET', P .. 'waiting', '') or 0),
  call('ZCARD', P .. 'processing'),
  call('ZCARD', P .. 'delayed'),
  oldest,
  tostring(now),
  call('EXISTS', P .. 'paused')
}
