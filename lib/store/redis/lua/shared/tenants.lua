--- @include "order"
-- What is kept per tenant, changed in Lua and written once by write_tenants: how many of its tasks wait, run and are scheduled, and its
-- turns (turns.lua). The field '' of a count is that of all tenants.

-- Scores of a queue are turns, and below this.
local MAX_TURN = RULES.CAPPED_RANK

local count_changes = { waiting = { [''] = 0 }, running = { [''] = 0 }, scheduled = { [''] = 0 } }
local turns = { high = {}, normal = {}, low = {} }

local function count(key, tenant, by)
  local changes = count_changes[key]
  changes[tenant], changes[''] = (changes[tenant] or 0) + by, changes[''] + by
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
            turns[priority][tenant] = nil
            call('HDEL', Q .. 'turns:' .. priority, tenant, '+' .. tenant, '=' .. tenant)
          end
        end
      end
    end
  end
  local hashes = { shares = changed_shares, ['turns:high'] = turns.high, ['turns:normal'] = turns.normal, ['turns:low'] = turns.low }
  for key, values in pairs(hashes) do
    local pairs_of_hash = {}
    for field, value in pairs(values) do pairs_of_hash[#pairs_of_hash + 1], pairs_of_hash[#pairs_of_hash + 2] = field, digits[value] end
    if #pairs_of_hash > 0 then call('HSET', Q .. key, unpack(pairs_of_hash)) end
  end
end

-- Signals one idle worker. One element is enough: a worker that pops it adds another if there is more to do. It expires, so that an idle
-- store is empty.
local function signal_work()
  if call('LLEN', Q .. 'work_signal') > 0 then return end
  call('LPUSH', Q .. 'work_signal', 1)
  call('PEXPIRE', Q .. 'work_signal', 60000)
end
