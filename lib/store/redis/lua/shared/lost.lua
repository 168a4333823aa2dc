-- Ends tasks of which a part was lost or is damaged.

-- Whether a text looks like a request: JSON, or what compact-request.ts makes of it. What it has within, the worker's process reads, and gives
-- back what it cannot read (fail-unreadable.lua).
local function is_request(text, from)
  return text and (string.find(text, '^%s*{', from) or string.find(text, COMPACT, from)) and string.find(text, '}%s*$', -16) and true
end

-- Replaces a lost request by what the terms say of it. Marked as shortened, so that the task cannot be repeated.
local function replace_request(task)
  local terms = task.terms
  local function from_word(text)
    return (string.gsub(text, '%%(%x%x)', function(code) return string.char(tonumber(code, 16)) end))
  end
  local org_id = string.match(terms.tenant, '^org:') and from_word(string.sub(terms.tenant, 5)) or cjson.null
  local request = cjson.encode({
    task_id = task.id, message_id = terms.message, user_id = from_word(terms.user), org_id = org_id,
    visibility = terms.shared ~= '' and 'ORGANIZATION' or 'PRIVATE', force_create = false, adjustment_query = cjson.null
  })
  task.record, task.has_request_key = string.sub(task.record, 1, task.request_start - 1) .. request, false
  keys_to_delete[#keys_to_delete + 1] = request_key(task.id)
  extras_of(task.state).shortened = true
end

-- Fails a task whose state, extras or request cannot be read, and no other task. `has_request`: false if it is the request.
local function fail_lost(task, has_request)
  local id, state = task.id, task.state
  if state.completed then return end
  flush_queues()
  -- The state may not say that the task runs.
  local was_running = state.status == 'PROCESSING' or (lease_changes[id] ~= false and call('ZSCORE', Q .. 'processing', id))
  if was_running then
    end_lease(task, 'fail')
    call('PUBLISH', P .. 'cancelled', id)
  else
    remove_waiting(task)
  end
  if has_request == false then replace_request(task) end
  extras_of(state).code = 'CHARTS_ERR_RECORD_LOST'
  finish(task, 'FAILED')
  keys_to_delete[#keys_to_delete + 1] = Q .. 'checkpoints:' .. id
  call('PEXPIRE', Q .. 'attempts:' .. id, digits[task.terms.keep_task])
end
