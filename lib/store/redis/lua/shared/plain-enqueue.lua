-- The common case of enqueue: tasks that are new, of which no two have the same dedup key, that wait for nothing but their turn, within all
-- limits. Reads everything before it writes anything. In any other case returns nil with nothing changed, and the rest of the script accepts or
-- refuses each request: Lua takes longer to create that script's functions than to run all of this.
-- ARGV as in enqueue.lua.
--- @include "start"
--- @include "turns"
--- @include "position"
--- @include "index-active"
-- Arguments of a request, before its drafts, and of a draft.
local PER_REQUEST, PER_DRAFT = 6, 5

-- Limits by their text, because most requests have the same.
local known_limits = {}

-- By where the draft begins in ARGV: the index of its message, and its trace as JSON fields. By index: what it has first, before and while
-- tasks are created.
local indexes, traces, firsts = {}, {}, {}

-- The request that begins at ARGV[i]. `keys` gets the keys that must not exist. Nil if the request is not plain.
local function read_request(i, keys)
  local user, batch, drafts = ARGV[i], ARGV[i + 4], {}
  local limits = known_limits[ARGV[i + 2]]
  if not limits then
    local waiting, ready, timeout = string.match(ARGV[i + 2], '(%d+) (%d+) %d+ %d (%d+)')
    limits = { waiting = tonumber(waiting), ready = tonumber(ready), is_plain = timeout == '0' }
    known_limits[ARGV[i + 2]] = limits
  end
  local key, body = string.match(ARGV[i + 3], '^([%w_-]+) (%S+)$')
  if not limits.is_plain or (ARGV[i + 3] ~= '' and not key) then return nil end
  for d = i + PER_REQUEST, i + PER_REQUEST + PER_DRAFT * (ARGV[i + 5] - 1), PER_DRAFT do
    local dedup_key, options = ARGV[d + 2], ARGV[d + 4]
    local trace = (options == '' or options == '{"force":true}') and '' or string.match(options, '^{"extras":{("traceparent":".*")}}$') or
      string.match(options, '^{"force":true,"extras":{("traceparent":".*")}}$')
    local index = P .. 'message_tasks:' .. string.match(ARGV[d + 1], '^%S+') .. ':' .. user
    if not trace or keys[index .. dedup_key] then return nil end
    keys[index .. dedup_key] = true
    if not firsts[index] then firsts[index] = first_of(index) end
    if firsts[index][1] and has_dedup_key(index, dedup_key) then return nil end
    keys[#keys + 1], drafts[#drafts + 1], indexes[d], traces[d] = P .. 'task:' .. ARGV[d], d, index, trace
  end
  if key then
    local name = Q .. 'idempotency:' .. key
    if keys[name] then return nil end
    keys[name], keys[#keys + 1] = true, name
  end
  if batch ~= '' then keys[#keys + 1] = Q .. 'batch:' .. batch end
  return { user = user, tenant = ARGV[i + 1], limits = limits, key = key or '', body = body, batch = batch, drafts = drafts }
end

local function read_requests()
  local requests, keys, of_tenant, of_all, i = {}, { Q .. 'superseded' }, {}, 0, 2
  while i <= #ARGV do
    local request = read_request(i, keys)
    if not request then return nil end
    local tenant, limits, n = request.tenant, request.limits, #request.drafts
    of_all, of_tenant[tenant] = of_all + n, (of_tenant[tenant] or 0) + n
    if limits.waiting > 0 and counted('waiting', tenant) + of_tenant[tenant] > limits.waiting then return nil end
    if limits.ready > 0 and counted('waiting', '') + of_all > limits.ready then return nil end
    requests[#requests + 1] = request
    i = i + PER_REQUEST + n * PER_DRAFT
  end
  return call('EXISTS', unpack(keys)) == 0 and requests or nil
end

-- Records and long requests of the new tasks, what enters the queues and `active`, and the messages, each as arguments of one command.
local new_values, queue_additions, active, messages = {}, {}, {}, {}
-- The task of the draft that begins at ARGV[d], with a turn by the rule of enqueue_task. `extras`: JSON behind its terms, or ''.
local function create_plain(d, user, tenant, extras)
  local id, head, dedup_key, request, at = ARGV[d], ARGV[d + 1], ARGV[d + 2], ARGV[d + 3], digits[now]
  local message, priority = string.match(head, '^(%S+) (%l+)')
  count('waiting', tenant, 1)
  local turn = math.max(turn_of(priority, tenant), share('round:' .. priority) or 0) + ROUND
  turns[priority][tenant] = turn
  local members = queue_additions[priority] or {}
  queue_additions[priority], members[#members + 1], members[#members + 2] = members, queue_score(turn), id
  local record = '\n2 ' .. at .. ' queued  ' .. dedup_key .. ' ' .. head .. extras .. '\n'
  if #request <= MAX_INLINE_BYTES then
    record = record .. request
  else
    new_values[#new_values + 1], new_values[#new_values + 2] = P .. 'request:' .. id, request
  end
  new_values[#new_values + 1], new_values[#new_values + 2] = P .. 'task:' .. id, record
  active[#active + 1], active[#active + 2] = at, id
  local index = indexes[d]
  firsts[index] = { id, index_active(index, id, dedup_key, firsts[index]) }
  messages[message .. ':' .. user] = true
end

local function enqueue_plain()
  local requests = read_requests()
  if not requests then return nil end
  for _, request in ipairs(requests) do
    local ids, key, batch = {}, request.key, request.batch
    local binding = batch ~= '' and '"batch":"' .. batch .. '"' or key ~= '' and '"key":"' .. key .. '"' or ''
    for n, d in ipairs(request.drafts) do
      local extras = binding .. (binding ~= '' and traces[d] ~= '' and ',' or '') .. traces[d]
      create_plain(d, request.user, request.tenant, extras ~= '' and ' {' .. extras .. '}' or '')
      ids[n] = ARGV[d]
    end
    -- No expiry: a key and a batch are kept as long as their tasks, which have not ended.
    if batch ~= '' then call('HSET', Q .. 'batch:' .. batch, 'user', request.user, 'ids', table.concat(ids, ' '), 'left', digits[#ids], 'key', key) end
    if key ~= '' then call('SET', Q .. 'idempotency:' .. key, (batch ~= '' and batch or ids[1]) .. request.body) end
  end
  call('MSET', unpack(new_values))
  call('ZADD', Q .. 'active', unpack(active))
  for priority, members in pairs(queue_additions) do
    init_share(priority)
    call('ZADD', queue(priority), unpack(members))
  end
  write_tenants()
  for owner in pairs(messages) do call('PUBLISH', P .. 'message:' .. owner, '') end
  signal_work()

  local answer = { 'plain', digits[now] }
  for _, request in ipairs(requests) do
    for _, d in ipairs(request.drafts) do answer[#answer + 1] = position(ARGV[d], string.match(ARGV[d + 1], ' (%l+)')) end
  end
  return answer
end
