-- An index of tasks is a sorted set: unfinished ones below zero, finished ones above, the newest outermost on either side. It expires with
-- the last of its tasks, but not while it has an unfinished one: that must be found however long it waits.

-- `replaced`: the score of the newest that was replaced, which may have left the index before the others.
-- `newest`: the lowest score, if the caller has read it: nil = not read, false = the index is empty.
local function index_active(key, id, replaced, newest)
  if newest == nil then newest = call('ZRANGE', key, '0', '0', 'WITHSCORES')[2] end
  call('ZADD', key, digits[-math.max(now, 1 - tonumber(newest or 0), 1 - tonumber(replaced or 0))], id)
  if newest then call('PERSIST', key) end
end

-- After a task has left the unfinished ones: `others` are the two that were first before, with their scores.
local function index_expire(key, id, others, keep)
  for i = 1, #others, 2 do
    if others[i] ~= id and tonumber(others[i + 1]) < 0 then return end
  end
  -- Another finished task in it may be kept longer.
  prolong(key, digits[keep])
end

-- `is_in`: whether the index has had it while it was unfinished.
local function index_finished(key, id, keep_task, keep_index, is_in)
  -- Mostly it is the only one.
  if call('ZCARD', key) == (is_in and 1 or 0) then
    call('ZADD', key, digits[now], id)
    call('PEXPIRE', key, digits[keep_index])
    return
  end
  local first = call('ZRANGE', key, '0', '1', 'WITHSCORES')
  local newest = tonumber(call('ZRANGE', key, '-1', '-1', 'WITHSCORES')[2] or 0)
  call('ZADD', key, digits[math.max(now, newest + 1)], id)
  -- A message that goes on for ever must not collect the ids of tasks that are gone.
  for _, old in ipairs(newest > 0 and call('ZRANGEBYSCORE', key, 0, now - keep_task, 'LIMIT', 0, 100) or {}) do
    if call('EXISTS', P .. 'task:' .. old) == 0 then call('ZREM', key, old) end
  end
  index_expire(key, id, first, keep_index)
end

-- The newest chart answers for all that were asked for alike.
local function index_answer(key, id, keep)
  if call('ZCARD', key) == 1 then
    call('ZADD', key, digits[now], id)
    call('PEXPIRE', key, digits[keep])
    return
  end
  local first = call('ZRANGE', key, '0', '1', 'WITHSCORES')
  call('ZREMRANGEBYSCORE', key, '0', '+inf')
  call('ZADD', key, digits[now], id)
  index_expire(key, id, first, keep)
end

local function index_remove(key, id, keep)
  local first = call('ZRANGE', key, '0', '1', 'WITHSCORES')
  call('ZREM', key, id)
  if #first > 2 then index_expire(key, id, first, keep) end
end

local function messages_of(asked) return P .. 'message_tasks:' .. asked.message .. ':' .. asked.user end

-- A batch, and the key that leads to it, are kept as long as the last of its tasks.
local function end_in_batch(batch, keep_task)
  local name = Q .. 'batch:' .. batch
  if call('HINCRBY', name, 'left', '-1') > 0 then return end
  call('PEXPIRE', name, keep_task)
  local key = call('HGET', name, 'key')
  if key and key ~= '' then call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
end

-- Whether a task is one of those that a newer one of its message replaced, and that no call has come to yet. `superseded` has for such
-- a message the score of the newest of them.
local function is_superseded(id, asked)
  local newest = call('ZSCORE', Q .. 'superseded', asked.message .. ':' .. asked.user)
  local score = newest and call('ZSCORE', messages_of(asked), id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
