-- Which tasks are next.

local function count_queues()
  flush_queues()
  return call('EXISTS', queue('requeued'), queue('high'), queue('normal'), queue('low'))
end

-- The queue of a task and its score there; nil if it is in none.
local function queue_of(id)
  flush_queues()
  for _, name in ipairs(QUEUES) do
    local score = call('ZSCORE', queue(name), id)
    if score then return name, tonumber(score) end
  end
end

-- Whether a PENDING task is somewhere that leads it to a worker: in a queue, in `delayed`, capped, or waiting for dependencies.
local function is_placed(task)
  return queue_of(task.id) or task.state.step == 'waiting_for_dependencies' or call('ZSCORE', Q .. 'delayed', task.id) or
    call('ZSCORE', Q .. 'capped:' .. task.terms.tenant, task.id)
end

-- A priority with tasks and without a share would never be served. Returns whether there was one.
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

-- Tasks of a queue that are read at once.
local MAX_PAGE = 50
-- The head of a queue, read a page at a time (`n` tasks, if that is less); popped tasks stay in Redis until flush_queues. Nil if the queue is empty.
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

-- The next task, the number of its queue in QUEUES, and its score; nil if all queues are empty. `n`: how many tasks are wanted.
local function pop(n)
  if next(queue_additions) then flush_queues() end
  local best = head_of('requeued', n) and 1
  if not best then
    local due
    for i, priority in ipairs(PRIORITIES) do
      local its_due = share(priority)
      if its_due and (not due or its_due < due) and head_of(priority, n) then best, due = i + 1, its_due end
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
