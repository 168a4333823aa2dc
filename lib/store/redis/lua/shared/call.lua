-- redis.call for keys that somebody else may have written: what has the wrong type, or is no number where one is counted, is lost. It is
-- deleted, and the command runs on what is left, so that one bad key does not stop every script that reads it.
local protected_call = redis.pcall
local function without_damage(failure, command, key, ...)
  local why, deleted = failure.err
  if string.find(why, 'WRONGTYPE', 1, true) then
    -- It names no key of ours first.
    deleted = command ~= 'ZINTER' and protected_call('DEL', key)
  elseif command == 'HINCRBY' and (string.find(why, 'not an integer', 1, true) or string.find(why, 'overflow', 1, true)) then
    deleted = protected_call('HDEL', key, (...))
  else
    error(failure)
  end
  if type(deleted) == 'number' then return redis.call(command, key, ...) end
  -- A script that only reads may not delete: it goes on as if the key were not there.
  if string.find(' GET HGET ZSCORE ZRANK ZREVRANK LINDEX ', ' ' .. command .. ' ', 1, true) then return false end
  if string.find(' STRLEN HSTRLEN ZCARD ZCOUNT LLEN ', ' ' .. command .. ' ', 1, true) then return 0 end
  return {}
end
local function call(...)
  local reply = protected_call(...)
  if type(reply) == 'table' and reply.err then return without_damage(reply, ...) end
  return reply
end
