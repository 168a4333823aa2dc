-- The counts of waiting, running and scheduled tasks, made anew from the records. After queue.lua.
-- Tasks that one call counts: Redis serves nobody else meanwhile.
local MAX_COUNTED = 2000
-- Only these words are read: there may be many.
local TENANT, STEP = '^2 %d+ (%S+) %d+ %S+ %S+ %l+ %d+ %d+ %d+ %d+ %S+ (%S+)', '^%d+ (%u+) %d+ (%S+)'
local function recount()
  local ids = call('ZRANGE', Q .. 'active', 0, -1)
  local truth = { waiting = { [''] = 0 }, running = { [''] = 0 }, scheduled = { [''] = call('ZCARD', Q .. 'delayed') } }
  local runs = {}
  for _, id in ipairs(call('ZRANGE', Q .. 'processing', 0, MAX_COUNTED)) do runs[id] = true end
  local function tally(key, tenant, total)
    truth[key][tenant] = (truth[key][tenant] or 0) + 1
    if total then truth[key][''] = truth[key][''] + 1 end
  end
  for from = 1, #ids, MAX_FETCHED do
    local names = {}
    for i = from, math.min(from + MAX_FETCHED - 1, #ids) do names[#names + 1] = P .. 'task:' .. ids[i] end
    local states = call('HMGET', Q .. 'states', unpack(ids, from, from + #names - 1))
    for i, record in ipairs(call('MGET', unpack(names))) do
      local first = record and string.find(record, '\n', 1, true)
      local step, tenant = string.match(record or '', TENANT, (first or 0) + 1)
      local known, last = string.match(states[i] or '', STEP)
      -- One of which the state is lost is counted where put_lost will find it.
      if tenant and (known == 'PROCESSING' or runs[ids[from + i - 1]]) then
        tally('running', tenant, true)
      elseif tenant and first == 1 then
        step = known and last or step
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

-- Counts anew what waits, runs and is scheduled. What runs is in `processing`, and all else that is unfinished waits.
local function mend_counts()
  local unfinished = call('ZCARD', Q .. 'active')
  local truth = unfinished <= MAX_COUNTED and recount()
  for key in pairs(stored) do
    local known = call('HGETALL', Q .. key)
    for i = 1, #known, 2 do
      local tenant, number = known[i], tonumber(known[i + 1])
      local right = truth and (truth[key][tenant] or 0) or number
      -- Of so many that they are not counted, a count is at least possible.
      if not truth and not (number and number > 0 and number <= unfinished) then right = 0 end
      if number ~= right or right == 0 then write_count(key, tenant, right) end
      if truth then truth[key][tenant] = nil end
    end
    for tenant, number in pairs(truth and truth[key] or {}) do
      if number > 0 then write_count(key, tenant, number) end
    end
  end
  if not truth then
    local running = call('ZCARD', Q .. 'processing')
    call('HSET', Q .. 'waiting', '', digits[math.max(0, unfinished - running)])
    call('HSET', Q .. 'running', '', digits[running])
  end
  for key in pairs(stored) do stored[key] = {} end
end
