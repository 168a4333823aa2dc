--- @include "message-index"
-- Adds unfinished tasks to the index of their message. While it has one, the index does not expire, however long the task waits.

-- The newest unfinished id and its score; without unfinished tasks, some other member. Empty if there is no index.
local function first_of(index) return call('ZRANGEBYSCORE', index, FIRST, '+inf', 'WITHSCORES', 'LIMIT', '0', '1') end

-- Adds an unfinished task as the newest, and lets it answer for its dedup key. `first`: what first_of returned. `superseded`: the score of the
-- newest superseded task, which may have left the index before older ones. Returns the score.
local function index_active(index, id, dedup_key, first, superseded)
  local score = -math.max(now, 1 - tonumber(first[2] or 0), 1 - tonumber(superseded or 0))
  call('ZADD', index, digits[score], id, digits[score - FAR], '=' .. dedup_key)
  if first[1] then call('PERSIST', index) end
  return score
end

-- Whether a task with this dedup key was created before.
local function has_dedup_key(index, dedup_key) return call('ZSCORE', index, '=' .. dedup_key) or call('ZSCORE', index, '+' .. dedup_key) end
