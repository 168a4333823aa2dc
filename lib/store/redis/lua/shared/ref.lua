-- A task as an index names it, so that a reply is small whatever was asked for: its id, when it was created, and when it ended or false.
-- False once its retention has passed.
local function ref(id)
  local task = find_kept(id)
  return task and { id, task.asked.created, task.state.completed or false }
end
