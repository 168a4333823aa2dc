-- What comes behind the final state in the record of a task.
local function body_of(task) return string.sub(task.record, string.find(task.record, '\n', 1, true), -1) end

-- A task as a reply holds it: its record; its state where that is not in the record, else false; its place in the queue or false; its request
-- if that is apart. False where there is none.
local function task_reply(id)
  local task = find_kept(id)
  if not task or task.state.status == 'LOST' then return false end
  local state = task.state
  if state.completed and state.extras and state.extras.steps and state.completed + task.terms.keep_details <= now then
    state.extras.steps = nil
    task.record = to_text(state) .. body_of(task)
  end
  local place = state.status == 'PENDING' and position(id, task.terms.priority) or false
  return { task.record, task.text, place, task.apart and call('GET', request_key(id)) or nil }
end
