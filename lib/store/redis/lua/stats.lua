#!lua flags=no-writes
-- stats: how busy the queue is.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)
-- Returns { waiting, processing, waiting for a retry, when the head of the queue was created or false, now }
--- @include "base"
local head = call('ZRANGE', P .. 'queue', 0, 0)[1]
return {
  tonumber(call('HGET', P .. 'waiting', '') or 0),
  call('ZCARD', P .. 'processing'),
  call('ZCARD', P .. 'delayed'),
  head and call('HGET', record(head), 'created') or false,
  tostring(now)
}
