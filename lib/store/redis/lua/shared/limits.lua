-- Whether new tasks fit within the limits of their tenant and of the queue.

-- Superseded tasks that are looked at: Redis serves no other client meanwhile. With more of them, a create is refused rather than admitted
-- above a limit.
local MAX_ROOM_LOOKED_AT, ROOM_PAGE = 1000, 100

-- Counts the superseded tasks that still count against the limits, because this call is about to cancel them or an earlier one has deferred that:
-- `waiting` and `scheduled` ones of the tenant, and `ready` ones of all tenants. Stops once there are as many as `needed`.
local function count_freed_room(older, owners, kept, tenant, needed)
  local room, looked, seen = { waiting = 0, scheduled = 0, ready = 0 }, 0, {}
  local function is_enough()
    return looked == MAX_ROOM_LOOKED_AT or (room.waiting >= needed.waiting and room.scheduled >= needed.scheduled and room.ready >= needed.ready and
      room.waiting + room.scheduled >= needed.both)
  end
  local function look_at(ids)
    fetch(ids)
    for _, id in ipairs(ids) do
      if is_enough() then return true end
      if kept[id] == nil and not seen[id] then
        local task = find(id)
        seen[id], looked = true, looked + 1
        if task and task.state.status == 'PENDING' then
          local kind = is_scheduled(task.state.step) and 'scheduled' or 'waiting'
          if task.terms.tenant == tenant then room[kind] = room[kind] + 1 end
          if kind == 'waiting' and not call('ZSCORE', Q .. 'delayed', id) then room.ready = room.ready + 1 end
        end
      end
    end
  end
  -- The unfinished tasks of a message, from the newest superseded one.
  local function look_at_message(owner, newest)
    for from = 0, MAX_ROOM_LOOKED_AT - 1, ROOM_PAGE do
      local ids = call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, newest, '(0', 'LIMIT', from, ROOM_PAGE)
      if look_at(ids) then return true end
      if #ids < ROOM_PAGE then return end
    end
  end
  if look_at(older) then return room end
  for _, owner in ipairs(owners) do
    if look_at_message(owner, FIRST) then return room end
  end
  local superseded = call('ZREVRANGE', Q .. 'superseded', 0, ROOM_PAGE - 1, 'WITHSCORES')
  for i = 1, #superseded, 2 do
    if look_at_message(superseded[i], superseded[i + 1]) then break end
  end
  return room
end

-- A function of its own, so that its functions are created only if a count is wrong.
local function repair_counts_now()
--- @include "counts"
  repair_counts()
end

-- Returns a refusal { reason, how many new tasks are of the kind that it limits } if a limit would be passed. `limits`, 0 = off: `waiting` and
-- `scheduled` tasks of the tenant, and `ready` ones (that could run now) of all tenants.
local function find_exceeded_limit(new, older, owners, kept, tenant, limits)
  if #new == 0 or limits.waiting + limits.scheduled + limits.ready == 0 then return end
  local of_tenant, of_all = counted('waiting', tenant), counted('waiting', '')
  local function fits(number, limit) return limit == 0 or number + #new <= limit end
  -- The common case: all PENDING tasks together are within each limit, whatever they wait for.
  if fits(of_tenant, limits.waiting) and fits(of_tenant, limits.scheduled) and fits(of_all, limits.ready) then return end

  -- A count above the number of unfinished tasks is damaged, and must not refuse tasks.
  local unfinished = call('ZCARD', Q .. 'active')
  if stored_counts.waiting[tenant] > unfinished or stored_counts.waiting[''] > unfinished then
    repair_counts_now()
    of_tenant, of_all = counted('waiting', tenant), counted('waiting', '')
  end
  local scheduled = math.min(counted('scheduled', tenant), of_tenant)
  local ready_of_all = of_all - math.min(counted('scheduled', ''), of_all)
  local new_scheduled = 0
  for _, draft in ipairs(new) do
    if #draft.waits > 0 or draft.run_at > now then new_scheduled = new_scheduled + 1 end
  end
  local new_ready = #new - new_scheduled
  -- Scheduled tasks may all become due at once: a tenant that schedules again and again must not have more than both limits together.
  local both = limits.waiting > 0 and limits.scheduled > 0 and limits.waiting + limits.scheduled or 0
  local function excess(added, present, limit) return added > 0 and limit > 0 and math.max(0, present + added - limit) or 0 end
  local needed = {
    waiting = excess(new_ready, of_tenant - scheduled, limits.waiting), scheduled = excess(new_scheduled, scheduled, limits.scheduled),
    both = excess(new_scheduled, of_tenant + new_ready, both), ready = excess(new_ready, ready_of_all, limits.ready)
  }
  if needed.waiting + needed.scheduled + needed.both + needed.ready == 0 then return end
  local room = count_freed_room(older, owners, kept, tenant, needed)
  if room.waiting < needed.waiting then return { 'tenant_full', new_ready } end
  if room.scheduled < needed.scheduled or room.waiting + room.scheduled < needed.both then return { 'scheduled_full', new_scheduled } end
  if room.ready < needed.ready then return { 'queue_full', new_ready } end
end
