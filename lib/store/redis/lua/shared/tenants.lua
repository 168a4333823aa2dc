--- @include "order"
-- What is kept per tenant, changed in Lua and written once by write_tenants: how many of its tasks wait, run and are scheduled, and its
-- turns (turns.lua). The field '' of a count is that of all tenants.

-- Scores of a queue are turns, and below this.
local MAX_TURN = RULES.CAPPED_RANK

-- Both by name, made when they are first needed: most calls need few of them.
local count_changes, turns = {}, {}
local function changes_of(key)
  count_changes[key] = count_changes[key] or { [''] = 0 }
  return count_changes[key]
end
local function turns_of(priority)
  turns[priority] = turns[priority] or {}
  return turns[priority]
end

local function count(key, tenant, by)
  local changes = changes_of(key)
  changes[tenant], changes[''] = (changes[tenant] or 0) + by, changes[''] + by
end

local function write_hash(key, values)
  local fields = {}
  for field, value in pairs(values) do fields[#fields + 1], fields[#fields + 2] = field, digits[value] end
  if #fields > 0 then call('HSET', Q .. key, unpack(fields)) end
end

local function write_tenants()
  for key, changes in pairs(count_changes) do
    for tenant, by in pairs(changes) do
      if by ~= 0 and call('HINCRBY', Q .. key, tenant, digits[by]) <= 0 then
        call('HDEL', Q .. key, tenant)
        if key == 'waiting' and tenant == '' then
          -- Nothing waits: an idle store keeps no shares.
          call('DEL', Q .. 'waiting', Q .. 'shares', Q .. 'scheduled')
          changed_shares = {}
        elseif key == 'waiting' then
          -- A tenant without waiting tasks has no turn to remember.
          for _, priority in ipairs(PRIORITIES) do
            turns_of(priority)[tenant] = nil
            call('HDEL', Q .. 'turns:' .. priority, tenant, '+' .. tenant, '=' .. tenant)
          end
        end
      end
    end
  end
  write_hash('shares', changed_shares)
  for priority, of_tenants in pairs(turns) do write_hash('turns:' .. priority, of_tenants) end
end

-- Signals one idle worker. One element is enough: a worker that pops it adds another if there is more to do. It expires, so that an idle
-- store is empty.
local function signal_work()
  if call('LLEN', Q .. 'work_signal') > 0 then return end
  call('LPUSH', Q .. 'work_signal', 1)
  call('PEXPIRE', Q .. 'work_signal', 60000)
end
