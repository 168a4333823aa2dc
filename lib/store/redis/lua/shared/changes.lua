-- What a call changes, written by commit.

-- Tasks whose state is to be stored, in order.
local changed_tasks = {}
-- Scores of tasks in `processing`, `active` and `finished` by id; false where the task leaves the set.
local lease_changes, active_changes, finished_changes = {}, {}, {}
-- ms that `finished` is kept at least.
local finished_ttl = 0
local keys_to_delete = {}
-- Task ids and states to publish, in the order of the changes: id, state, id, state …
local hints = {}
local must_signal_work = false

local function change(task)
  task.hint = nil
  if not task.is_changed then
    task.is_changed, changed_tasks[#changed_tasks + 1] = true, task
  end
end

-- After a change that watchers see. The version grows with the hint that tells of it: no watcher sees one without the other.
local function announce(task)
  task.state.version = task.state.version + 1
  change(task)
  task.hint = state_text(task.state)
  hints[#hints + 1], hints[#hints + 2] = task.id, task.hint
end

local function notify_workers() must_signal_work = true end
