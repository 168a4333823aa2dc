#!lua flags=allow-oom
-- cleanup: removes tasks whose retention has passed, a bounded number at a time.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] most to remove
-- Returns how many were removed
-- Atomic because a task must not be deleted by a score that another script has just corrected. Runs where Redis is full: it frees memory.
--- @include "base"
local ids = call('ZRANGEBYSCORE', Q .. 'finished', '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
fetch(ids)
for _, id in ipairs(ids) do
  local task = find(id)
  local until_then = task and expires_at(task)
  if until_then and until_then > now then
    -- The score was damaged.
    call('ZADD', Q .. 'finished', digits[until_then], id)
  else
    -- An unfinished task stays: it should not be in `finished`.
    if not task or until_then then
      if task and task.state.chart ~= '' then call('DEL', P .. 'chart:' .. task.state.chart) end
      call('DEL', P .. 'task:' .. id, request_key(id), Q .. 'attempts:' .. id)
    end
    call('ZREM', Q .. 'finished', id)
  end
end
return #ids
