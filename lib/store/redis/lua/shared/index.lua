-- An index of tasks is a sorted set: unfinished ones below zero, finished ones above, the newest outermost on either side.
local function index_expire(key, keep)
  -- An unfinished task must be found however long it waits.
  if call('ZCOUNT', key, '-inf', '(0') > 0 then return end
  -- Another task in it may be kept longer.
  if call('PTTL', key) < keep then call('PEXPIRE', key, keep) end
end

-- `replaced`: the score of the newest that was replaced, which may have left the index before the others.
local function index_active(key, id, replaced)
  local newest = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  call('ZADD', key, -math.max(now, 1 - tonumber(newest or 0), 1 - tonumber(replaced or 0)), id)
  if newest then call('PERSIST', key) end
end

local function index_finished(key, id, keep_task, keep_index)
  local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
  call('ZADD', key, math.max(now, newest + 1), id)
  if newest <= 0 then return index_expire(key, keep_index) end
  -- A message that goes on for ever must not collect the ids of tasks that are gone.
  for _, old in ipairs(call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100)) do
    if call('EXISTS', record(old)) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, keep_index)
end

-- Whether a task is one of those that a newer one of its message replaced, and that no call has come to yet. `superseded` has for such
-- a message the score of the newest of them.
local function is_superseded(id, message, user)
  local owner = message .. ':' .. user
  local newest = call('ZSCORE', P .. 'superseded', owner)
  local score = newest and call('ZSCORE', P .. 'message_tasks:' .. owner, id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
