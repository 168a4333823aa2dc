#!lua flags=allow-oom
-- lose: ends tasks that were claimed and whose requests are no JSON of ours, which only the process of the worker has found out.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] claim id, then their records
-- Returns { all that this call ended }
-- Atomic because only what this very claim has given may be ended. Runs where Redis is full: it ends work.
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
-- What was claimed last has the latest leases.
local MAX_READ = 1000
local unreadable = {}
for i = 3, #ARGV do unreadable[ARGV[i]] = true end

-- Records of two tasks may be the same but for their requests.
local function is_readable(task)
  local request = decoded(task.apart and (call('GET', request_key(task.id)) or '') or string.sub(task.record, task.request))
  return request and type(request.task_id) == 'string' and type(request.message_id) == 'string' and type(request.user_id) == 'string'
end

local ids = call('ZREVRANGE', Q .. 'processing', 0, MAX_READ - 1)
fetch(ids)
for _, id in ipairs(ids) do
  local task = find(id)
  if task and task.state.status == 'PROCESSING' and task.state.claim == ARGV[2] and unreadable[task.record] and not is_readable(task) then
    -- Nothing was begun.
    task.state.attempt = task.state.attempt - 1
    fail_lost(task, false)
  end
end
run_deferred(false)
commit()
return ended_besides({})
