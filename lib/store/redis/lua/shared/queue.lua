--- @include "tenants"
-- Waiting tasks come. Within a priority the tenants take turns (start-time fair queueing: Goyal, Vin and Cheng, 1996).

-- What this call changes, written once by commit: tasks that are to be stored, in order; tasks in `processing`, `active` and `finished`, each
-- with its score, or false where it leaves; keys to delete. What is kept per tenant: tenants.lua.
local changed_tasks, lease_changes, active_changes, finished_changes, keys_to_delete = {}, {}, {}, {}, {}
local finished_ttl = 0
local must_signal_work = false
-- Ids and states to publish, in the order of their changes.
local hints = {}

local function change(task)
  task.hint = nil
  if not task.is_changed then
    task.is_changed, changed_tasks[#changed_tasks + 1] = true, task
  end
end

-- After a change. Version and hint belong to the same step as the change: no watcher can see one without the other.
local function announce(task)
  task.state.version = task.state.version + 1
  change(task)
  task.hint = to_text(task.state)
  hints[#hints + 1], hints[#hints + 2] = task.id, task.hint
end

-- Whether a PENDING task waits for a time or for other tasks.
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end

-- Of the waiting tasks, those that could not run now: they wait for a time or for other tasks. The field '' counts all, and also
-- those that wait for another attempt: to their tenant these count as waiting.
local function count_scheduled(tenant, by)
  if tenant then add('scheduled', tenant, by) end
  add('scheduled', '', by)
end

local function notify_workers() must_signal_work = true end

-- Tasks that this call has added to the queues, and those at the heads of the queues that it has claimed (see pop): before a queue is read or
-- changed otherwise, settle_queues writes both.
local queue_additions, queue_heads = {}, {}
local function flush_queues()
  for name, head in pairs(queue_heads) do
    if head.used > 0 then call('ZREMRANGEBYRANK', queue(name), '0', digits[head.used - 1]) end
  end
  queue_heads = {}
  for name, members in pairs(queue_additions) do
    init_share(name)
    for i = 1, #members, MAX_FETCHED do call('ZADD', queue(name), unpack(members, i, math.min(i + MAX_FETCHED - 1, #members))) end
  end
  queue_additions = {}
end

local function add_to_queue(name, id, score)
  local members = queue_additions[name] or {}
  queue_additions[name], members[#members + 1], members[#members + 2] = members, score, id
end

-- Whether any task waits for a time or has a deadline: mostly none does.
local any_timed
local function is_any_timed()
  if any_timed == nil then any_timed = call('EXISTS', Q .. 'deadlines', Q .. 'delayed') > 0 end
  return any_timed
end

local function add_timed(key, time, id)
  call('ZADD', Q .. key, time, id)
  any_timed = true
end

-- A tenant's next turn comes a round (by its weight) after its last, or after the turn that is being served: who queues much waits
-- for itself.
local function enqueue_task(id, terms)
  local priority, tenant = terms.priority, terms.tenant
  local turn = math.max(turn_of(priority, tenant), share('round:' .. priority) or 0) + math.floor(ROUND / (terms.weight or 1))
  turns[priority][tenant] = turn
  add_to_queue(priority, id, queue_score(turn))
  if terms.queue_timeout then add_timed('deadlines', digits[now + terms.queue_timeout], id) end
end

-- Into the queue, or aside until its time has come. Returns what kind of waiting that is, and since or until when.
local function enqueue_or_delay(id, terms)
  if (terms.run_at or 0) > now then
    add_timed('delayed', terms.run_at, id)
    return 'scheduled', terms.run_at
  end
  enqueue_task(id, terms)
  return 'queued', now
end
