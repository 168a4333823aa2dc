#!lua
-- probe: fails if Redis takes no writes of this user: it is full or read-only, or the user may not write.
-- KEYS[1] prefix
-- Returns 1
-- The key has an expiry, so that nothing is left if Redis stops between the commands.
local key = KEYS[1] .. 'probe'
redis.call('SET', key, 1, 'PX', 1000)
return redis.call('DEL', key)
