-- What enqueue does where it has little to decide, as it mostly has: requests of one task each, of which none is known or alike to another,
-- that wait for nothing but their turn, within all limits. Everything is read before anything is written. Nil, with nothing changed, where a
-- request is not so: then the rest of the script, whose functions take Lua longer to make than all of this, accepts or refuses it.
local PER_REQUEST, PER_DRAFT = 12, 14

-- Whether nothing has to be decided of the request at ARGV[i] but what the store knows.
local function is_plain(i, d)
  return ARGV[i + 11] == '1' and ARGV[i + 2] == '' and ARGV[i + 8] == '' and ARGV[i + 9] == '' and ARGV[d + 6] == '' and ARGV[d + 9] == '' and
    ARGV[d + 10] == '0' and ARGV[d + 11] == '' and ARGV[d + 12] == '' and ARGV[d + 13] == ''
end

local function within(count, limit) return limit == '0' or count <= tonumber(limit) end

local function enqueue_plain()
  local names, news, of_tenant, of_all = { Q .. 'superseded' }, {}, {}, 0
  for i = 2, #ARGV, PER_REQUEST + PER_DRAFT do
    local d = i + PER_REQUEST
    if not is_plain(i, d) then return nil end
    local tenant, same = ARGV[i + 1], Q .. 'same:' .. ARGV[d + 3]
    of_all, of_tenant[tenant] = of_all + 1, (of_tenant[tenant] or 0) + 1
    if not (within(counted('waiting', tenant) + of_tenant[tenant], ARGV[i + 4]) and within(counted('waiting', '') + of_all, ARGV[i + 5])) then return nil end
    if names[same] then return nil end
    names[same], names[#names + 1], names[#names + 2] = true, P .. 'task:' .. ARGV[d], same
    news[of_all] = { ARGV[d], tenant, ARGV[d + 8], same, ARGV[d + 1] .. ':' .. ARGV[i], ARGV[d + 3], ARGV[d + 2], ARGV[d + 5] }
  end
  if call('EXISTS', unpack(names)) > 0 then return nil end

  local at, entering, records, active, grown = digits[now], {}, {}, {}, {}
  for n, new in ipairs(news) do
    local id, tenant, priority, same, owner, hash, head, request = unpack(new)
    count('waiting', tenant, 1)
    local turn = math.max(turn_of(priority, tenant), share('round:' .. priority) or 0) + ROUND
    turns[priority][tenant] = turn
    local members = entering[priority] or {}
    entering[priority], members[#members + 1], members[#members + 2] = members, place_in(turn), id
    local key = P .. 'task:' .. id
    local record = '\n2 ' .. at .. ' queued ' .. at .. ' ' .. hash .. ' ' .. head .. '\n'
    if #request <= MAX_INLINE then
      record = record .. request
    else
      records[#records + 1], records[#records + 2] = P .. 'request:' .. id, request
    end
    records[#records + 1], records[#records + 2] = key, record
    active[2 * n - 1], active[2 * n] = at, id
    index_active(same, id, nil, false)
    index_active(P .. 'message_tasks:' .. owner, id)
    grown[owner] = true
  end
  call('MSET', unpack(records))
  call('ZADD', Q .. 'active', unpack(active))
  for priority, members in pairs(entering) do
    open_queue(priority)
    call('ZADD', queue(priority), unpack(members))
  end
  write_tenants()
  for owner in pairs(grown) do call('PUBLISH', P .. 'message:' .. owner, '') end
  leave_marker()

  local answers = {}
  for n, new in ipairs(news) do answers[n] = { 'accepted', { { 'queued', false, at, 'queued', at, position(new[1], new[3]), '' } }, {}, false, 0 } end
  return answers
end
