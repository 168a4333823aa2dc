--- @include "message-index"
-- Moves tasks that end within the indexes that lead to them, and lets an index expire with the last of its tasks.

local function mark_shared(index, dedup_key) call('ZADD', index, digits[2 * FAR + now], '+' .. dedup_key) end

-- Of several tasks with a dedup key, the next create finds out which one answers.
local function clear_answer(index, dedup_key)
  mark_shared(index, dedup_key)
  call('ZREM', index, '=' .. dedup_key)
end

-- The score of a task that finishes now: above those of all others. Removes up to 100 ids whose tasks have expired, because the index of a
-- message that is used for ever would collect them. `is_last`: no unfinished task is left, so that old '+' members lead to none.
local function next_finished(index, keep_task, is_last)
  local newest = tonumber(call('ZREVRANGEBYSCORE', index, LAST, '(0', 'WITHSCORES', 'LIMIT', '0', '1')[2] or 0)
  local oldest_kept = now - keep_task
  local old = newest > 0 and call('ZRANGEBYSCORE', index, '(0', digits[oldest_kept], 'WITHSCORES', 'LIMIT', '0', '100') or {}
  for i = 1, #old, 2 do
    if call('EXISTS', P .. 'task:' .. old[i]) == 0 then
      local pointer = digits[old[i + 1] + FAR]
      call('ZREM', index, old[i])
      call('ZREMRANGEBYSCORE', index, pointer, pointer)
    end
  end
  if #old > 0 and is_last then call('ZREMRANGEBYSCORE', index, digits[2 * FAR], digits[2 * FAR + oldest_kept]) end
  return math.max(now, newest + 1)
end

-- After a task of a message has ended. The newest chart answers for the dedup key; without a chart, no finished task does.
local function index_ended(index, id, dedup_key, keep_task, keep_index, has_chart)
  -- The common case: the index has only the task and its pointer.
  if call('ZCARD', index) == 2 then
    if has_chart then
      call('ZADD', index, digits[now], id, digits[now + FAR], '=' .. dedup_key)
    else
      call('ZADD', index, digits[now], id)
      call('ZREM', index, '=' .. dedup_key)
    end
    call('PEXPIRE', index, digits[keep_index])
    return
  end
  local active = call('ZRANGEBYSCORE', index, FIRST, '(0', 'LIMIT', '0', '2')
  local is_last = (active[1] or id) == id and (active[2] or id) == id
  local score = next_finished(index, keep_task, is_last)
  call('ZADD', index, digits[score], id)
  if call('ZSCORE', index, '+' .. dedup_key) then
    clear_answer(index, dedup_key)
  elseif has_chart then
    call('ZADD', index, digits[score + FAR], '=' .. dedup_key)
  else
    call('ZREM', index, '=' .. dedup_key)
  end
  -- Another finished task of the index may be kept for longer.
  if is_last then prolong(index, digits[keep_index]) end
end

-- Adds to the charts of a message that an org may see.
local function index_chart(index, id, keep_task, keep_index)
  call('ZADD', index, digits[next_finished(index, keep_task, true)], id)
  prolong(index, digits[keep_index])
end

-- A batch, and the Idempotency-Key that leads to it, are kept as long as the task of the batch that ends last.
local function end_in_batch(batch, keep_task)
  local name = Q .. 'batch:' .. batch
  if call('HINCRBY', name, 'left', '-1') > 0 then return end
  call('PEXPIRE', name, keep_task)
  local key = call('HGET', name, 'key')
  if key and key ~= '' then call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
end
