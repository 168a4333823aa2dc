#!lua flags=allow-oom
-- settle: ends leases with complete, fail or release. With a worker, it also handles what is due, and claims nothing new.
-- KEYS[1] prefix
-- ARGV as in settle-and-claim.lua; n is 0, and the worker is '' if nothing that is due is to be handled
-- Returns { { { 'ok' | 'stale', if it ended: the task, or its state where that is enough } … }, what claim returns }
-- Atomic because only the lease that is checked here may write. Runs where Redis is full: it ends work.
--- @include "settle-attempts"
