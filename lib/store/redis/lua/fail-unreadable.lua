#!lua flags=allow-oom
-- fail-unreadable: fails claimed tasks whose requests the worker's process could not read.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] claim id, then their records
-- Returns { all that this call ended }
-- Atomic because only tasks of this very claim may be ended. Runs where Redis is full: it ends work.
--- @include "lifecycle"
-- Leases that are looked at, the latest first: the claim was made a moment ago.
local MAX_READ = 1000
local unreadable = {}
for i = 3, #ARGV do unreadable[ARGV[i]] = true end

-- The record alone does not identify a task: with long requests, which have keys of their own, two records may be the same.
local function is_readable(task)
  local text = task.has_request_key and (call('GET', request_key(task.id)) or '') or string.sub(task.record, task.request_start)
  local rest = string.match(text, COMPACT .. '()')
  if rest then return decode_json('{"":0' .. string.sub(text, rest - 1)) end
  local request = decode_json(text)
  return request and type(request.task_id) == 'string' and type(request.message_id) == 'string' and type(request.user_id) == 'string'
end

local ids = call('ZREVRANGE', Q .. 'processing', 0, MAX_READ - 1)
fetch(ids)
for _, id in ipairs(ids) do
  local task = find(id)
  if task and task.state.status == 'PROCESSING' and task.state.claim_id == ARGV[2] and unreadable[task.record] and not is_readable(task) then
    -- No attempt has begun.
    task.state.attempt = task.state.attempt - 1
    fail_lost(task, false)
  end
end
run_deferred(false)
commit()
return ended_besides({})
