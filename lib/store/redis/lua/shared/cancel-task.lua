-- Cancels a task that waits or runs; a task of which a part was lost fails. Returns whether this call has ended it.
local function cancel_task(id)
  local task = find(id)
  local status = task and task.state.status
  if status == 'PENDING' then
    remove_waiting(task)
  elseif status == 'PROCESSING' then
    end_lease(task, 'cancel')
    call('PUBLISH', P .. 'cancelled', id)
  elseif status == 'LOST' then
    fail_lost(task)
    return true
  else
    return false
  end
  finish(task, 'CANCELLED')
  return true
end
