--- @include "order"
-- What is kept per tenant: how many of its tasks wait, run or are scheduled ('' counts those of all), and its turns. Changed in Lua, and
-- written once, with the shares, by write_tenants.

-- The length of a round: a tenant of weight 3 has three turns in it, one of weight 1 has one.
local ROUND = RULES.ROUND
-- All turns are below it.
local MAX_TURN = RULES.PARKED_RANK

local counts = { waiting = {}, running = {}, scheduled = {} }
local turns = { high = {}, normal = {}, low = {} }

local function add(key, tenant, by)
  local deltas = counts[key]
  deltas[tenant] = (deltas[tenant] or 0) + by
end
local function count(key, tenant, by)
  add(key, tenant, by)
  add(key, '', by)
end
-- 0 where it was lost, or is no count.
local function to_count(text)
  local number = tonumber(text)
  return number and is_number(number) and number or 0
end

-- Read once: what other calls have counted.
local stored = { waiting = {}, running = {}, scheduled = {} }
local function counted(key, tenant)
  local known = stored[key]
  if not known[tenant] then
    -- Who asks for a tenant's mostly asks for that of all, too.
    local its, all = unpack(call('HMGET', Q .. key, tenant, ''))
    known[tenant], known[''] = to_count(its), known[''] or to_count(all)
  end
  return known[tenant] + (counts[key][tenant] or 0)
end

local function turn_of(priority, tenant)
  local known = turns[priority]
  known[tenant] = known[tenant] or to_count(call('HGET', Q .. 'turns:' .. priority, tenant))
  return known[tenant]
end

local function next_order()
  local order = (share('order') or 0) + 1
  set_share('order', order)
  return order
end

-- A place in the queue of a priority, for a turn that has come: first come, first served within a round.
local function queue_score(turn) return string.format('%.17g', turn + next_order() % RULES.ARRIVALS / RULES.ARRIVALS) end

-- A tenant that waits no more has no turn to remember.
local function write_counts()
  for key, deltas in pairs(counts) do
    for tenant, by in pairs(deltas) do
      if by ~= 0 and call('HINCRBY', Q .. key, tenant, digits[by]) <= 0 then
        call('HDEL', Q .. key, tenant)
        if key == 'waiting' and tenant == '' then
          call('DEL', Q .. 'waiting', Q .. 'shares', Q .. 'scheduled')
          changed_shares = {}
        elseif key == 'waiting' then
          for _, priority in ipairs(PRIORITIES) do
            turns[priority][tenant] = nil
            call('HDEL', Q .. 'turns:' .. priority, tenant, '+' .. tenant, '=' .. tenant)
          end
        end
      end
    end
  end
end

local function write_pairs(key, values)
  local flat = {}
  for field, value in pairs(values) do flat[#flat + 1], flat[#flat + 2] = field, digits[value] end
  if #flat > 0 then call('HSET', key, unpack(flat)) end
end

local function write_tenants()
  write_counts()
  write_pairs(Q .. 'shares', changed_shares)
  for priority, values in pairs(turns) do write_pairs(Q .. 'turns:' .. priority, values) end
end

-- One marker is enough: a worker that takes it leaves another if there is more to do. The marker expires, so that an idle store is empty.
local function signal_work()
  if call('LLEN', Q .. 'wake') > 0 then return end
  call('LPUSH', Q .. 'wake', 1)
  call('PEXPIRE', Q .. 'wake', 60000)
end
