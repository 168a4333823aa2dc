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

-- By the number of the draft: where it begins in ARGV, the message with its user, the priority, and the trace as JSON fields.
local starts, owners, priorities, traces = {}, {}, {}, {}
-- By the message with its user: the dedup keys of its drafts, and what its index has first, before and while tasks are created.
local dedup_keys, firsts = {}, {}

local function index_of(owner) return P .. 'message_tasks:' .. owner end

-- The request that begins at ARGV[i]. `keys` gets the keys that must not exist. Nil if the request is not plain.
local function read_request(i, keys)
  local user, batch, first = ARGV[i], ARGV[i + 4], #starts + 1
  local limits = known_limits[ARGV[i + 2]]
  if not limits then
    local waiting, ready, timeout = string.match(ARGV[i + 2], '(%d+) (%d+) %d+ %d (%d+)')
    limits = { waiting = tonumber(waiting), ready = tonumber(ready), is_plain = timeout == '0' }
    known_limits[ARGV[i + 2]] = limits
  end
  local key, body
  if ARGV[i + 3] ~= '' then key, body = string.match(ARGV[i + 3], '^([%w_-]+) (%S+)$') end
  if not limits.is_plain or (ARGV[i + 3] ~= '' and not key) then return nil end
  for d = i + PER_REQUEST, i + PER_REQUEST + PER_DRAFT * (ARGV[i + 5] - 1), PER_DRAFT do
    local n, dedup_key, options = #starts + 1, ARGV[d + 2], ARGV[d + 4]
    local trace = (options == '' or options == '{"force":true}') and '' or string.match(options, '^{"extras":{("traceparent":".*")}}$') or
      string.match(options, '^{"force":true,"extras":{("traceparent":".*")}}$')
    local message, priority = string.match(ARGV[d + 1], '^(%S+) (%l+)')
    local owner = message .. ':' .. user
    local others = dedup_keys[owner]
    if not trace or (others and string.find(others, dedup_key, 1, true)) then return nil end
    dedup_keys[owner] = others and others .. ' ' .. dedup_key or dedup_key
    keys[#keys + 1], starts[n], owners[n], priorities[n], traces[n] = P .. 'task:' .. ARGV[d], d, owner, priority, trace
  end
  if key then
    local name = Q .. 'idempotency:' .. key
    if keys[name] then return nil end
    keys[name], keys[#keys + 1] = true, name
  end
  if batch ~= '' then keys[#keys + 1] = Q .. 'batch:' .. batch end
  return { user = user, tenant = ARGV[i + 1], limits = limits, key = key or '', body = body, batch = batch, first = first, last = #starts }
end

-- Whether none of the keys exists, and no task of the messages has the dedup key of a draft. Sets `firsts`.
local function are_new(keys)
  local n = #keys
  for owner in pairs(dedup_keys) do firsts[owner], keys[#keys + 1] = {}, index_of(owner) end
  -- Most messages have one task.
  if call('EXISTS', unpack(keys)) == 0 then return true end
  if call('EXISTS', unpack(keys, 1, n)) > 0 then return false end
  for owner in pairs(firsts) do firsts[owner] = first_of(index_of(owner)) end
  for k, owner in ipairs(owners) do
    if firsts[owner][1] and has_dedup_key(index_of(owner), ARGV[starts[k] + 2]) then return false end
  end
  return true
end

local function read_requests()
  local requests, keys, of_tenant, of_all, i = {}, { Q .. 'superseded' }, {}, 0, 2
  while i <= #ARGV do
    local request = read_request(i, keys)
    if not request then return nil end
    local tenant, limits, n = request.tenant, request.limits, request.last - request.first + 1
    of_all, of_tenant[tenant] = of_all + n, (of_tenant[tenant] or 0) + n
    if limits.waiting > 0 and counted('waiting', tenant) + of_tenant[tenant] > limits.waiting then return nil end
    if limits.ready > 0 and counted('waiting', '') + of_all > limits.ready then return nil end
    requests[#requests + 1] = request
    i = i + PER_REQUEST + n * PER_DRAFT
  end
  return are_new(keys) and requests or nil
end

-- Records and long requests of the new tasks, and what enters the queues and `active`, each as arguments of one command.
local new_values, queue_additions, active = {}, {}, {}
-- The task of the n-th draft, with a turn by the rule of enqueue_task. `extras`: JSON behind its terms, or ''.
local function create_plain(n, tenant, extras)
  local d, owner, priority, at = starts[n], owners[n], priorities[n], digits[now]
  local id, head, dedup_key, request = ARGV[d], ARGV[d + 1], ARGV[d + 2], ARGV[d + 3]
  count('waiting', tenant, 1)
  local turn = math.max(turn_of(priority, tenant), share('round:' .. priority) or 0) + ROUND
  turns_of(priority)[tenant] = turn
  local members = queue_additions[priority] or {}
  queue_additions[priority], members[#members + 1], members[#members + 2] = members, queue_score(turn), id
  if #request > MAX_INLINE_BYTES then
    new_values[#new_values + 1], new_values[#new_values + 2], request = P .. 'request:' .. id, request, ''
  end
  new_values[#new_values + 1] = P .. 'task:' .. id
  new_values[#new_values + 1] = '\n2 ' .. at .. ' queued  ' .. dedup_key .. ' ' .. head .. extras .. '\n' .. request
  active[#active + 1], active[#active + 2] = at, id
  firsts[owner] = { id, index_active(index_of(owner), id, dedup_key, firsts[owner]) }
end

local function enqueue_plain()
  local requests = read_requests()
  if not requests then return nil end
  for _, request in ipairs(requests) do
    local ids, key, batch = {}, request.key, request.batch
    local binding = batch ~= '' and '"batch":"' .. batch .. '"' or key ~= '' and '"key":"' .. key .. '"' or ''
    for n = request.first, request.last do
      local extras = binding .. (binding ~= '' and traces[n] ~= '' and ',' or '') .. traces[n]
      create_plain(n, request.tenant, extras ~= '' and ' {' .. extras .. '}' or '')
      ids[#ids + 1] = ARGV[starts[n]]
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
  for owner in pairs(firsts) do call('PUBLISH', P .. 'message:' .. owner, '') end
  signal_work()

  local answer = { 'plain', digits[now] }
  for n, d in ipairs(starts) do answer[n + 2] = position(ARGV[d], priorities[n]) end
  return answer
end
