-- Indexes of tasks. One expires with the last of its tasks, but not while it has an unfinished one: that must be found however long it waits.
--- @include "ranges"
local function messages_of(terms) return P .. 'message_tasks:' .. terms.message .. ':' .. terms.user end

-- The newest unfinished id and its score or, where there is none, whatever else the index has. Empty where there is no index.
local function first_of(key) return call('ZRANGEBYSCORE', key, FIRST, '+inf', 'WITHSCORES', 'LIMIT', '0', '1') end

-- Puts an unfinished task before all others. `first`: what first_of has said. `replaced`: the score of the newest that was replaced, which may
-- have left the index before the others.
local function index_active(key, id, hash, first, replaced)
  local score = -math.max(now, 1 - tonumber(first[2] or 0), 1 - tonumber(replaced or 0))
  call('ZADD', key, digits[score], id, digits[score - FAR], '=' .. hash)
  if first[1] then call('PERSIST', key) end
  return score
end

-- Whether a task has asked for the same before.
local function has_dedup_key(key, hash) return call('ZSCORE', key, '=' .. hash) or call('ZSCORE', key, '+' .. hash) end

local function mark_shared(key, hash) call('ZADD', key, digits[2 * FAR + now], '+' .. hash) end

-- Which of several tasks answers is found out when the next one asks.
local function clear_answer(key, hash)
  mark_shared(key, hash)
  call('ZREM', key, '=' .. hash)
end

-- The score of a task that finishes now, above all others. A message that goes on for ever must not collect the ids of tasks that are gone.
-- `is_last`: whether no unfinished one is left, which '+' may lead to.
local function next_finished(key, keep_task, is_last)
  local newest = tonumber(call('ZREVRANGEBYSCORE', key, LAST, '(0', 'WITHSCORES', 'LIMIT', '0', '1')[2] or 0)
  local gone = now - keep_task
  local old = newest > 0 and call('ZRANGEBYSCORE', key, '(0', digits[gone], 'WITHSCORES', 'LIMIT', '0', '100') or {}
  for i = 1, #old, 2 do
    if call('EXISTS', P .. 'task:' .. old[i]) == 0 then
      local pointer = digits[old[i + 1] + FAR]
      call('ZREM', key, old[i])
      call('ZREMRANGEBYSCORE', key, pointer, pointer)
    end
  end
  if #old > 0 and is_last then call('ZREMRANGEBYSCORE', key, digits[2 * FAR], digits[2 * FAR + gone]) end
  return math.max(now, newest + 1)
end

-- After a task of a message has ended; the newest chart answers for all that were asked for alike.
local function index_ended(key, id, hash, keep_task, keep_index, has_chart)
  -- Mostly there is nothing else in it than the task and what leads to it.
  if call('ZCARD', key) == 2 then
    if has_chart then
      call('ZADD', key, digits[now], id, digits[now + FAR], '=' .. hash)
    else
      call('ZADD', key, digits[now], id)
      call('ZREM', key, '=' .. hash)
    end
    call('PEXPIRE', key, digits[keep_index])
    return
  end
  local active = call('ZRANGEBYSCORE', key, FIRST, '(0', 'LIMIT', '0', '2')
  local is_last = (active[1] or id) == id and (active[2] or id) == id
  local score = next_finished(key, keep_task, is_last)
  call('ZADD', key, digits[score], id)
  if call('ZSCORE', key, '+' .. hash) then
    clear_answer(key, hash)
  elseif has_chart then
    call('ZADD', key, digits[score + FAR], '=' .. hash)
  else
    call('ZREM', key, '=' .. hash)
  end
  -- Another finished task in it may be kept longer.
  if is_last then prolong(key, digits[keep_index]) end
end

-- The charts of a message that an org may see.
local function index_chart(key, id, keep_task, keep_index)
  call('ZADD', key, digits[next_finished(key, keep_task, true)], id)
  prolong(key, digits[keep_index])
end

local function index_forget(key, id, hash)
  local score, pointer = call('ZSCORE', key, id), call('ZSCORE', key, '=' .. hash)
  if score and pointer and math.abs(pointer - score) == FAR then call('ZREM', key, '=' .. hash) end
  call('ZREM', key, id)
end

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
local function is_superseded(id, terms)
  local newest = call('ZSCORE', Q .. 'superseded', terms.message .. ':' .. terms.user)
  local score = newest and call('ZSCORE', messages_of(terms), id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
