-- What enqueue does where it has little to decide, as it mostly has: tasks none of which is known or alike to another, that wait for nothing
-- but their turn, within all limits. Everything is read before anything is written. Nil, with nothing changed, where it is not so: then the
-- rest of the script, whose functions take Lua longer to make than all of this, accepts or refuses each request.
-- ARGV as in enqueue.lua.
local PER_REQUEST, PER_DRAFT = 12, 14

local function within(count, limit) return limit == '0' or count <= tonumber(limit) end

-- The tasks of the request at ARGV[i]; `names` gets the keys that must not exist. Nil where it is not plain.
local function read_request(i, names)
  local tenant, key, batch, timeout, n, drafts = ARGV[i + 1], ARGV[i + 2], ARGV[i + 8], ARGV[i + 9], tonumber(ARGV[i + 11]), {}
  if timeout ~= '' or string.find(key, '[^%w_-]') then return nil end
  for d = i + PER_REQUEST, i + PER_REQUEST + PER_DRAFT * (n - 1), PER_DRAFT do
    local same = Q .. 'same:' .. ARGV[d + 3]
    local is_plain = ARGV[d + 6] == '' and ARGV[d + 9] == '' and ARGV[d + 10] == '0' and ARGV[d + 11] == '' and ARGV[d + 12] == '' and ARGV[d + 13] == ''
    if names[same] or not is_plain then return nil end
    names[same], names[#names + 1], names[#names + 2] = true, P .. 'task:' .. ARGV[d], same
    drafts[#drafts + 1] = d
  end
  if key ~= '' then
    local name = Q .. 'idempotency:' .. key
    if names[name] then return nil end
    names[name], names[#names + 1] = true, name
  end
  if batch ~= '' then names[#names + 1] = Q .. 'batch:' .. batch end
  return { at = i, user = ARGV[i], tenant = tenant, key = key, batch = batch, drafts = drafts }
end

local function read_requests()
  local requests, names, of_tenant, of_all, i = {}, { Q .. 'superseded' }, {}, 0, 2
  while i <= #ARGV do
    local request = read_request(i, names)
    if not request then return nil end
    local tenant, n = request.tenant, #request.drafts
    of_all, of_tenant[tenant] = of_all + n, (of_tenant[tenant] or 0) + n
    if not (within(counted('waiting', tenant) + of_tenant[tenant], ARGV[i + 4]) and within(counted('waiting', '') + of_all, ARGV[i + 5])) then return nil end
    requests[#requests + 1] = request
    i = i + PER_REQUEST + n * PER_DRAFT
  end
  return call('EXISTS', unpack(names)) == 0 and requests or nil
end

local created, entering, active, grown = {}, {}, {}, {}
local function create_plain(d, user, tenant, few)
  local id, message, hash, request, priority, at = ARGV[d], ARGV[d + 1], ARGV[d + 3], ARGV[d + 5], ARGV[d + 8], digits[now]
  count('waiting', tenant, 1)
  local turn = math.max(turn_of(priority, tenant), share('round:' .. priority) or 0) + ROUND
  turns[priority][tenant] = turn
  local members = entering[priority] or {}
  entering[priority], members[#members + 1], members[#members + 2] = members, place_in(turn), id
  local record = '\n2 ' .. at .. ' queued ' .. at .. ' ' .. hash .. ' ' .. ARGV[d + 2] .. few .. '\n'
  if #request <= MAX_INLINE then
    record = record .. request
  else
    created[#created + 1], created[#created + 2] = P .. 'request:' .. id, request
  end
  created[#created + 1], created[#created + 2] = P .. 'task:' .. id, record
  active[#active + 1], active[#active + 2] = at, id
  index_active(Q .. 'same:' .. hash, id, nil, false)
  local owner = message .. ':' .. user
  index_active(P .. 'message_tasks:' .. owner, id)
  grown[owner] = true
end

-- A key or a batch lasts as long as its tasks, which have not ended.
local function bind_plain(request)
  local ids, key, batch = {}, request.key, request.batch
  for n, d in ipairs(request.drafts) do ids[n] = ARGV[d] end
  if batch ~= '' then call('HSET', Q .. 'batch:' .. batch, 'user', request.user, 'ids', table.concat(ids, ' '), 'left', digits[#ids], 'key', key) end
  if key ~= '' then call('SET', Q .. 'idempotency:' .. key, (batch ~= '' and batch or ids[1]) .. ARGV[request.at + 3]) end
end

local function enqueue_plain()
  local requests = read_requests()
  if not requests then return nil end
  for _, request in ipairs(requests) do
    local few = request.batch ~= '' and ' {"batch":"' .. request.batch .. '"}' or request.key ~= '' and ' {"key":"' .. request.key .. '"}' or ''
    for _, d in ipairs(request.drafts) do create_plain(d, request.user, request.tenant, few) end
    bind_plain(request)
  end
  call('MSET', unpack(created))
  call('ZADD', Q .. 'active', unpack(active))
  for priority, members in pairs(entering) do
    open_queue(priority)
    call('ZADD', queue(priority), unpack(members))
  end
  write_tenants()
  for owner in pairs(grown) do call('PUBLISH', P .. 'message:' .. owner, '') end
  leave_marker()

  local at, answers = digits[now], {}
  for n, request in ipairs(requests) do
    local tasks = {}
    for i, d in ipairs(request.drafts) do tasks[i] = { 'queued', false, at, 'queued', at, position(ARGV[d], ARGV[d + 8]), '' } end
    answers[n] = { 'accepted', tasks, {}, false, 0 }
  end
  return answers
end
