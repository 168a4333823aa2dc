-- Work that one call leaves to the next: dependents to notify and superseded tasks to cancel. The list of ended tasks with dependents left has
-- 'task_id'; 'task_id+' if the task completed; 'task_id!' if clean-up has found it to be lost.

-- Notifies the dependents of what this call has ended. With `has_deferred`, then does what earlier calls have left, as far as one call may.
-- Returns whether any is left.
local function run_deferred(has_deferred)
  local left = notify_all_dependents()
  while has_deferred and cascaded < MAX_CASCADE and cancel_superseded() do notify_all_dependents() end
  while has_deferred and cascaded < MAX_CASCADE do
    local one = call('LPOP', Q .. 'unnotified')
    if not one then break end
    unnotified[1] = { string.gsub(one, '%+', ''), string.find(one, '+', 1, true) ~= nil }
    notify_all_dependents()
  end
  if not (left or has_deferred) then return false end
  if call('EXISTS', Q .. 'unnotified', Q .. 'superseded') == 0 then
    call('DEL', Q .. 'deferred')
    return false
  end
  -- The caller calls again at once. Should it die before, a worker goes on.
  if not has_deferred then notify_workers() end
  call('SET', Q .. 'deferred', 1)
  return true
end
