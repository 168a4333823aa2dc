--- @include "tenants"
-- Whose turn it is within a priority (start-time fair queueing: Goyal, Vin and Cheng, 1996), and how many tasks a tenant has.

-- Length of a round on the scale of turns: a tenant of weight 1 has one turn in it, one of weight 3 has three.
local ROUND = RULES.ROUND

-- Counts as they were before this call, read once for each tenant. 0 where one was lost, or is no count.
local stored_counts = {}
local function counted(key, tenant)
  local stored, changes = stored_counts[key] or {}, count_changes[key]
  if not stored[tenant] then
    -- The count of all tenants is mostly needed too.
    local of_tenant, of_all = unpack(call('HMGET', Q .. key, tenant, ''))
    stored[tenant], stored[''], stored_counts[key] = to_number(of_tenant) or 0, stored[''] or to_number(of_all) or 0, stored
  end
  return stored[tenant] + (changes and changes[tenant] or 0)
end

-- The tenant's last turn: that of its waiting task that was queued last. 0 if it has none.
local function turn_of(priority, tenant)
  local known = turns_of(priority)
  known[tenant] = known[tenant] or to_number(call('HGET', Q .. 'turns:' .. priority, tenant)) or 0
  return known[tenant]
end

local function next_order()
  local order = (share('order') or 0) + 1
  set_share('order', order)
  return order
end

-- The score of a task: its turn and, behind the point, the order of arrival.
local function queue_score(turn) return string.format('%.17g', turn + next_order() % RULES.ARRIVALS / RULES.ARRIVALS) end

-- Before the first task of a priority is queued: the priority is due one stride later, so that it cannot pre-empt higher ones.
local function init_share(name)
  if STRIDE[name] and (not share(name) or call('EXISTS', queue(name)) == 0) then set_share(name, (share('clock') or 0) + STRIDE[name]) end
end
