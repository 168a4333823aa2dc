--- @include "changes"
--- @include "turns"
-- How tasks enter the queues.

-- Whether a PENDING task waits for a time or for other tasks.
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end

-- Counts waiting tasks that could not run now. Of a tenant: those that wait for a time or for other tasks. Of all (`tenant` is nil): also
-- those that wait for another attempt, which count as waiting for their tenant.
local function count_scheduled(tenant, by)
  local changes = changes_of('scheduled')
  if tenant then changes[tenant] = (changes[tenant] or 0) + by end
  changes[''] = changes[''] + by
end

-- By queue: tasks that this call adds, as score, id, score, id …; and what it has read and popped from the head (pop.lua). Both are written
-- by flush_queues, before a queue is read or changed in another way.
local queue_additions, queue_heads = {}, {}
local function flush_queues()
  for name, head in pairs(queue_heads) do
    if head.used > 0 then call('ZREMRANGEBYRANK', queue(name), '0', digits[head.used - 1]) end
  end
  queue_heads = {}
  for name, members in pairs(queue_additions) do
    init_share(name)
    for i = 1, #members, MAX_ARGUMENTS do call('ZADD', queue(name), unpack(members, i, math.min(i + MAX_ARGUMENTS - 1, #members))) end
  end
  queue_additions = {}
end

local function add_to_queue(name, id, score)
  local members = queue_additions[name] or {}
  queue_additions[name], members[#members + 1], members[#members + 2] = members, score, id
end

-- Whether any task waits for a time or has a queue timeout. Mostly none does: one command instead of one for each set.
local any_timed
local function is_any_timed()
  if any_timed == nil then any_timed = call('EXISTS', Q .. 'deadlines', Q .. 'delayed') > 0 end
  return any_timed
end

local function add_timed(key, time, id)
  call('ZADD', Q .. key, time, id)
  any_timed = true
end

-- The tenant's next turn is a round, divided by its weight and rounded down, after the later of its last turn and the current turn of the
-- priority: a backlog delays only its own tenant. create_plain has the same rule.
local function enqueue_task(id, terms)
  local priority, tenant = terms.priority, terms.tenant
  local turn = math.max(turn_of(priority, tenant), share('round:' .. priority) or 0) + math.floor(ROUND / (terms.weight or 1))
  turns_of(priority)[tenant] = turn
  add_to_queue(priority, id, queue_score(turn))
  if terms.queue_timeout then add_timed('deadlines', digits[now + terms.queue_timeout], id) end
end

-- Returns the step of the task, and since when it is queued or until when it is scheduled.
local function enqueue_or_delay(id, terms)
  if (terms.run_at or 0) > now then
    add_timed('delayed', terms.run_at, id)
    return 'scheduled', terms.run_at
  end
  enqueue_task(id, terms)
  return 'queued', now
end
