#!lua
-- probe: whether Redis takes writes of this user: it is refused where Redis is full or read-only, or the user may not write.
-- KEYS[1] prefix
-- Returns 1
-- Leaves nothing behind, also where Redis ends in the middle of it.
local key = KEYS[1] .. 'probe'
redis.call('SET', key, 1, 'PX', 1000)
return redis.call('DEL', key)
