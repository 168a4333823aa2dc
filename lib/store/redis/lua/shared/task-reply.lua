-- What stands behind the final state in the record of a task: its terms, and a short request.
local function record_tail(task) return string.sub(task.record, string.find(task.record, '\n', 1, true), -1) end

-- A task in a reply: { its record, its state or false where the record has it, its position in the queue or false, its request where that has
-- a key of its own }. False if there is no such task.
local function task_reply(id)
  local task = find_kept(id)
  if not task or task.state.status == 'LOST' then return false end
  local state = task.state
  if state.completed and state.extras and state.extras.steps and state.completed + task.terms.keep_details <= now then
    state.extras.steps = nil
    task.record = state_text(state) .. record_tail(task)
  end
  local place = state.status == 'PENDING' and position(id, task.terms.priority) or false
  return { task.record, task.stored_state, place, task.has_request_key and call('GET', request_key(id)) or nil }
end

-- Bytes of a task in a reply.
local function reply_bytes(reply) return #reply[1] + #(reply[2] or '') + #(reply[4] or '') end
