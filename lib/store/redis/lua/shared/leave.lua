-- Waiting tasks are claimed, put aside, brought back and taken out; what runs comes back. After queue.lua.
-- Attempts that are remembered of one task.
local MAX_ATTEMPTS = RULES.MAX_ATTEMPTS
-- Of what is aside, so much is dealt with in one call: Redis serves nobody else meanwhile.
local MAX_ASIDE = RULES.MAX_ASIDE
local readmitted = 0

-- How many of the queues have tasks.
local function count_queues()
  flush_queues()
  return call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low'))
end
local function any_queued() return count_queues() > 0 end

-- The queue that has it, and its score there; nil where none has it.
local function queue_of(id)
  flush_queues()
  for _, name in ipairs(QUEUES) do
    local score = call('ZSCORE', queue(name), id)
    if score then return name, tonumber(score) end
  end
end

-- Whether it is where its turn, its time or its dependencies are waited for.
local function is_placed(task)
  return queue_of(task.id) or task.state.step == 'waiting_for_dependencies' or call('ZSCORE', Q .. 'delayed', task.id) or
    call('ZSCORE', Q .. 'capped:' .. task.terms.tenant, task.id)
end

-- A priority with tasks and without a share would never be served. Whether there was one: its share was lost.
local function mend_shares()
  local mended = false
  for _, priority in ipairs(PRIORITIES) do
    if not share(priority) and call('EXISTS', queue(priority)) == 1 then
      set_share(priority, (share('clock') or 0) + STRIDE[priority])
      mended = true
    end
  end
  return mended
end

-- Tasks at the head of a queue that are read at once.
local MAX_PAGE = 50
-- The next `n` of a queue that this call has not used are read at once; those that were used leave it at once, with settle_queues.
local function head_of(name, n)
  local head = queue_heads[name]
  if not head then
    head = { used = 0, read = 0 }
    queue_heads[name] = head
  end
  if head.used == head.read and not head.is_end then
    n = math.min(n, MAX_PAGE)
    head.page, head.first = call('ZRANGE', queue(name), digits[head.read], digits[head.read + n - 1], 'WITHSCORES'), head.read
    head.read = head.read + #head.page / 2
    head.is_end = #head.page < 2 * n
    local ids = {}
    for i = 1, #head.page, 2 do ids[#ids + 1] = head.page[i] end
    fetch(ids)
  end
  if head.used < head.read then return head end
end

-- The next task, its queue and its score. `n`: how many may be wanted.
local function pop(n)
  if next(queue_additions) then flush_queues() end
  local best = head_of('again', n) and 1
  if not best then
    local due
    for i, priority in ipairs(PRIORITIES) do
      local its = share(priority)
      if its and (not due or its < due) and head_of(priority, n) then best, due = i + 1, its end
    end
    if not best then return end
  end
  local head = queue_heads[QUEUES[best]]
  local at = 2 * (head.used - head.first)
  local id, score = head.page[at + 1], tonumber(head.page[at + 2])
  head.used = head.used + 1
  if best > 1 then
    local priority = QUEUES[best]
    set_share('clock', share(priority))
    set_share(priority, share(priority) + STRIDE[priority])
    if score >= 0 and score < MAX_TURN then set_share('round:' .. priority, math.floor(score)) end
  end
  return id, best, score
end

-- A tenant at its cap waits aside, in its own order.
local function hold_at_cap(id, tenant, at, score)
  local turn = score >= 0 and score < MAX_TURN and math.floor(score) or 0
  call('ZADD', Q .. 'capped:' .. tenant, string.format('%.0f', at * MAX_TURN + turn), id)
end

-- By its shares again, lest a tenant's high tasks starve its low ones: the field '+tenant' counts how often it was asked, and
-- '=tenant' names a lower task that has the place, whatever else of the tenant's comes first in the queue.
local function next_capped(key, tenant)
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not head[1] or tonumber(head[2]) < 2 * MAX_TURN then return head end
  local places = call('HINCRBY', Q .. 'turns:low', '+' .. tenant, 1) % RULES.PARKED_CYCLE
  if places % RULES.PARKED_NORMAL_EVERY > 0 then return head end
  local at = places == 0 and 4 or 3
  local lower = call('ZRANGEBYSCORE', key, at * MAX_TURN, string.format('(%.0f', (at + 1) * MAX_TURN), 'WITHSCORES', 'LIMIT', 0, 1)
  if not lower[1] then return head end
  call('HSET', Q .. 'turns:low', '=' .. tenant, lower[1])
  return lower
end

-- The task that has the place for which another of its tenant's was taken.
local function reserved_task(tenant)
  local id = call('HGET', Q .. 'turns:low', '=' .. tenant)
  if not id then return end
  flush_queues()
  call('HDEL', Q .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end

-- A place that a tenant at its cap gives up goes to its own next task, with the turn that it had: it has come already.
-- `cap`: that of the worker that asks, nil where there is none.
local function readmit_capped(tenant, cap)
  local key = Q .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  -- A cap that was raised or lifted meanwhile has freed more than one place.
  local room = cap == 0 and MAX_ASIDE or math.max(1, (cap or 0) - counted('running', tenant))
  -- The place itself is always given on.
  for _ = 1, math.max(1, math.min(room, MAX_ASIDE - readmitted)) do
    readmitted = readmitted + 1
    local id, score = unpack(next_capped(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    local name, turn = QUEUES[math.floor(score / MAX_TURN)], score % MAX_TURN
    local task = not name and find(id)
    if name then
      add_to_queue(name, id, digits[turn])
    elseif task and task.state.status == 'PENDING' then
      enqueue_task(id, task.terms)
    end
  end
  notify_workers()
end

-- A turn that was its tenant's last and is not taken is the next one's: who replaces a chart again and again must not fall behind.
local function refund_turn(id, terms)
  local priority, tenant = terms.priority, terms.tenant
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', Q .. 'capped:' .. tenant, id)
  local turn = turn_of(priority, tenant)
  if score and math.floor(score % MAX_TURN) == turn then turns[priority][tenant] = turn - math.floor(ROUND / (terms.weight or 1)) end
end

-- The place may have been freed for this very task.
local function remove_waiting(task)
  local id, terms, step = task.id, task.terms, task.state.step
  flush_queues()
  refund_turn(id, terms)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  local delayed = call('ZREM', Q .. 'delayed', id) == 1
  for _, key in ipairs({ 'deadlines', 'capped:' .. terms.tenant }) do call('ZREM', Q .. key, id) end
  if is_scheduled(step) then
    count_scheduled(terms.tenant, -1)
  elseif delayed then
    count_scheduled(nil, -1)
  end
  for _, dep in ipairs(terms.deps or {}) do call('ZREM', Q .. 'dependents:' .. dep, id) end
  count('waiting', terms.tenant, -1)
  readmit_capped(terms.tenant)
end

local function end_lease(task, verb, cap)
  lease_changes[task.id], task.state.settled_by = false, verb
  change(task)
  count('running', task.terms.tenant, -1)
  readmit_capped(task.terms.tenant, cap)
end

-- An attempt that is over without a verdict: back to PENDING, its progress forgotten, itself remembered. `delay` in ms.
local function requeue(task, step, delay, verb, code, message)
  local id, state, extras = task.id, task.state, extras_of(task.state)
  local key = Q .. 'attempts:' .. id
  call('RPUSH', key, cjson.encode({ state.attempt, state.lease, state.worker, tonumber(string.match(state.trace, ',(%d+)') or now), now, verb, state.step, state.progress, code or '', message or '' }))
  call('LTRIM', key, -MAX_ATTEMPTS, -1)
  -- How often in a row its worker was lost. One that was handed back says nothing of that, and costs nothing.
  if verb == 'expire' then
    extras.losses, extras.lost_worker = (extras.losses or 0) + 1, state.worker
  elseif verb ~= 'release' then
    extras.losses, extras.lost_worker = nil, nil
  end
  if verb == 'release' then state.attempt = state.attempt - 1 end
  state.status, state.step, state.at, state.progress, state.from, state.progress_at = 'PENDING', step, now + delay, 0, nil, nil
  extras.steps, extras.tried = nil, true
  count('waiting', task.terms.tenant, 1)
  if delay > 0 then
    add_timed('delayed', digits[now + delay], id)
    count_scheduled(nil, 1)
  else
    add_to_queue('again', id, digits[now])
  end
  announce(task)
  notify_workers()
end
