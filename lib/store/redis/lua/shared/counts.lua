-- Repairs the counts of waiting, running and scheduled tasks.

-- Tasks that one call counts: Redis serves no other client meanwhile.
local MAX_COUNTED = 2000
-- Only the words that are needed, because a call may read thousands of records.
local TERMS_TENANT, STATE_STEP = '^2 %d+ (%S+) %d* %S+ %S+ %l+ %d+ %d+ %d+ %d+ %S+ (%S+) (%S+)', '^%d+ (%u+) %d+ (%S+)'
-- The counts by key and tenant, from the records.
local function count_records()
  local ids = call('ZRANGE', Q .. 'active', 0, -1)
  local truth = { waiting = { [''] = 0 }, running = { [''] = 0 }, scheduled = { [''] = call('ZCARD', Q .. 'delayed') } }
  local has_lease = {}
  for _, id in ipairs(call('ZRANGE', Q .. 'processing', 0, MAX_COUNTED)) do has_lease[id] = true end
  local function tally(key, tenant, is_of_all)
    truth[key][tenant] = (truth[key][tenant] or 0) + 1
    if is_of_all then truth[key][''] = truth[key][''] + 1 end
  end
  for from = 1, #ids, MAX_ARGUMENTS do
    local names = {}
    for i = from, math.min(from + MAX_ARGUMENTS - 1, #ids) do names[#names + 1] = P .. 'task:' .. ids[i] end
    local states = call('HMGET', Q .. 'states', unpack(ids, from, from + #names - 1))
    for i, record in ipairs(call('MGET', unpack(names))) do
      local first = record and string.find(record, '\n', 1, true)
      local first_step, tenant, user = string.match(record or '', TERMS_TENANT, (first or 0) + 1)
      tenant = tenant and to_tenant(tenant, user)
      local status, step = string.match(states[i] or '', STATE_STEP)
      -- A task with a lease and without a state counts as running: fail_lost takes it for that.
      if tenant and (status == 'PROCESSING' or has_lease[ids[from + i - 1]]) then
        tally('running', tenant, true)
      elseif tenant and first == 1 then
        step = status and step or first_step
        tally('waiting', tenant, true)
        if is_scheduled(step) then tally('scheduled', tenant, step == 'waiting_for_dependencies') end
      end
    end
  end
  return truth
end

-- Counts that were wrong.
local miscounts = 0
local function write_count(key, tenant, number)
  if number > 0 then call('HSET', Q .. key, tenant, digits[number]) else call('HDEL', Q .. key, tenant) end
  miscounts = miscounts + 1
end

local function repair_counts()
  local unfinished = call('ZCARD', Q .. 'active')
  -- With too many tasks to count, only impossible counts of tenants are corrected.
  local truth = unfinished <= MAX_COUNTED and count_records()
  for _, key in ipairs({ 'waiting', 'running', 'scheduled' }) do
    local known = call('HGETALL', Q .. key)
    for i = 1, #known, 2 do
      local tenant, number = known[i], tonumber(known[i + 1])
      local right = truth and (truth[key][tenant] or 0) or number
      if not truth and not (number and number > 0 and number <= unfinished) then right = 0 end
      if number ~= right or right == 0 then write_count(key, tenant, right) end
      if truth then truth[key][tenant] = nil end
    end
    for tenant, number in pairs(truth and truth[key] or {}) do
      if number > 0 then write_count(key, tenant, number) end
    end
  end
  if not truth then
    -- Tasks with a lease run, and all other unfinished ones wait.
    local running = call('ZCARD', Q .. 'processing')
    call('HSET', Q .. 'waiting', '', digits[math.max(0, unfinished - running)])
    call('HSET', Q .. 'running', '', digits[running])
  end
  stored_counts = {}
end
