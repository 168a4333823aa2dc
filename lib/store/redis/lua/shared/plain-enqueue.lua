-- What enqueue does where it has little to decide, as it mostly has: tasks none of which is known or alike to another, that wait for nothing
-- but their turn, within all limits. Everything is read before anything is written. Nil, with nothing changed, where it is not so: then the
-- rest of the script, whose functions take Lua longer to make than all of this, accepts or refuses each request.
-- ARGV as in enqueue.lua.
local PER_REQUEST, PER_DRAFT = 6, 5

local function within(count, limit) return limit == 0 or count <= limit end

-- Mostly those of all requests are alike.
local known_limits = {}
local function parse_limits(text)
  if not known_limits[text] then
    local waiting, ready, timeout = string.match(text, '(%d+) (%d+) %d+ %d (%d+)')
    known_limits[text] = { waiting = tonumber(waiting), ready = tonumber(ready), is_plain = timeout == '0' }
  end
  return known_limits[text]
end

-- The index of the message of each draft and its trace, and what each index has first, before and while tasks are created.
local indexes, traces, firsts = {}, {}, {}

-- The index of the message of the draft at ARGV[d]. Nil where the same was asked for before.
local function read_index(d, user, names)
  local hash = ARGV[d + 2]
  local index = P .. 'message_tasks:' .. string.match(ARGV[d + 1], '^%S+') .. ':' .. user
  if names[index .. hash] then return nil end
  names[index .. hash] = true
  if not firsts[index] then firsts[index] = first_of(index) end
  if firsts[index][1] and has_dedup_key(index, hash) then return nil end
  return index
end

-- The trace of a create as it goes into its record, of what few ask for; '' where there is none, nil where more is asked for than a chart
-- although there is one.
local function read_trace(rest)
  if rest == '' or rest == '{"force":true}' then return '' end
  return string.match(rest, '^{"few":{("traceparent":".*")}}$') or string.match(rest, '^{"force":true,"few":{("traceparent":".*")}}$')
end

-- The tasks of the request at ARGV[i]; `names` gets the keys that must not exist. Nil where it is not plain.
local function read_request(i, names)
  local limits, batch, drafts = parse_limits(ARGV[i + 2]), ARGV[i + 4], {}
  local key, body = string.match(ARGV[i + 3], '^([%w_-]+) (%S+)$')
  if not limits.is_plain or (ARGV[i + 3] ~= '' and not key) then return nil end
  for d = i + PER_REQUEST, i + PER_REQUEST + PER_DRAFT * (ARGV[i + 5] - 1), PER_DRAFT do
    local trace = read_trace(ARGV[d + 4])
    local index = trace and read_index(d, ARGV[i], names)
    if not index then return nil end
    names[#names + 1], drafts[#drafts + 1], indexes[d], traces[d] = P .. 'task:' .. ARGV[d], d, index, trace
  end
  if key then
    local name = Q .. 'idempotency:' .. key
    if names[name] then return nil end
    names[name], names[#names + 1] = true, name
  end
  if batch ~= '' then names[#names + 1] = Q .. 'batch:' .. batch end
  return { user = ARGV[i], tenant = ARGV[i + 1], limits = limits, key = key or '', body = body, batch = batch, drafts = drafts }
end

local function read_requests()
  local requests, names, of_tenant, of_all, i = {}, { Q .. 'superseded' }, {}, 0, 2
  while i <= #ARGV do
    local request = read_request(i, names)
    if not request then return nil end
    local tenant, limits, n = request.tenant, request.limits, #request.drafts
    of_all, of_tenant[tenant] = of_all + n, (of_tenant[tenant] or 0) + n
    if not (within(counted('waiting', tenant) + of_tenant[tenant], limits.waiting) and within(counted('waiting', '') + of_all, limits.ready)) then return nil end
    requests[#requests + 1] = request
    i = i + PER_REQUEST + n * PER_DRAFT
  end
  return call('EXISTS', unpack(names)) == 0 and requests or nil
end

local created, queue_additions, active, messages_with_new_tasks = {}, {}, {}, {}
local function create_plain(d, user, tenant, extras)
  local id, head, hash, request, at = ARGV[d], ARGV[d + 1], ARGV[d + 2], ARGV[d + 3], digits[now]
  local message, priority = string.match(head, '^(%S+) (%l+)')
  count('waiting', tenant, 1)
  local turn = math.max(turn_of(priority, tenant), share('round:' .. priority) or 0) + ROUND
  turns[priority][tenant] = turn
  local members = queue_additions[priority] or {}
  queue_additions[priority], members[#members + 1], members[#members + 2] = members, queue_score(turn), id
  local record = '\n2 ' .. at .. ' queued ' .. at .. ' ' .. hash .. ' ' .. head .. extras .. '\n'
  if #request <= MAX_INLINE then
    record = record .. request
  else
    created[#created + 1], created[#created + 2] = P .. 'request:' .. id, request
  end
  created[#created + 1], created[#created + 2] = P .. 'task:' .. id, record
  active[#active + 1], active[#active + 2] = at, id
  local index = indexes[d]
  firsts[index] = { id, index_active(index, id, hash, firsts[index]) }
  messages_with_new_tasks[message .. ':' .. user] = true
end

-- A key or a batch lasts as long as its tasks, which have not ended.
local function bind_plain(request)
  local ids, key, batch = {}, request.key, request.batch
  for n, d in ipairs(request.drafts) do ids[n] = ARGV[d] end
  if batch ~= '' then call('HSET', Q .. 'batch:' .. batch, 'user', request.user, 'ids', table.concat(ids, ' '), 'left', digits[#ids], 'key', key) end
  if key ~= '' then call('SET', Q .. 'idempotency:' .. key, (batch ~= '' and batch or ids[1]) .. request.body) end
end

local function enqueue_plain()
  local requests = read_requests()
  if not requests then return nil end
  for _, request in ipairs(requests) do
    local binding = request.batch ~= '' and '"batch":"' .. request.batch .. '"' or request.key ~= '' and '"key":"' .. request.key .. '"' or ''
    for _, d in ipairs(request.drafts) do
      local extras = binding .. (binding ~= '' and traces[d] ~= '' and ',' or '') .. traces[d]
      create_plain(d, request.user, request.tenant, extras ~= '' and ' {' .. extras .. '}' or '')
    end
    bind_plain(request)
  end
  call('MSET', unpack(created))
  call('ZADD', Q .. 'active', unpack(active))
  for priority, members in pairs(queue_additions) do
    init_share(priority)
    call('ZADD', queue(priority), unpack(members))
  end
  write_tenants()
  for owner in pairs(messages_with_new_tasks) do call('PUBLISH', P .. 'message:' .. owner, '') end
  signal_work()

  local answer = { 'plain', digits[now] }
  for _, request in ipairs(requests) do
    for _, d in ipairs(request.drafts) do answer[#answer + 1] = position(ARGV[d], string.match(ARGV[d + 1], ' (%l+)')) end
  end
  return answer
end
