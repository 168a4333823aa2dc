-- redis.call for keys that another client may have damaged. A key of the wrong type, or a hash field that is no number where a number is
-- counted, is deleted, and the command runs again without it: one damaged key must not stop every script that reads it.
local protected_call, type = redis.pcall, type
local function call(...)
  local reply = protected_call(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  local command, key, field = ...
  local deleted
  if string.find(reply.err, 'WRONGTYPE', 1, true) then
    -- The first argument of ZINTER is the number of its keys.
    deleted = command ~= 'ZINTER' and protected_call('DEL', key)
  elseif command == 'HINCRBY' and (string.find(reply.err, 'not an integer', 1, true) or string.find(reply.err, 'overflow', 1, true)) then
    deleted = protected_call('HDEL', key, field)
  else
    error(reply)
  end
  if type(deleted) == 'number' then return redis.call(...) end
  -- A script with the flag no-writes may not delete: it reads the key as if it did not exist.
  if string.find(' GET HGET ZSCORE ZRANK ZREVRANK LINDEX ', ' ' .. command .. ' ', 1, true) then return false end
  if string.find(' STRLEN HSTRLEN ZCARD ZCOUNT LLEN ', ' ' .. command .. ' ', 1, true) then return 0 end
  return {}
end
