-- Claiming in the common case: waiting tasks that have not run before. Part of plain-exchange.lua.
local WAITING = '^\n2 %d+ %S+ %d* %S+ %S+ %l+ %d+ %d+ %d+ %d+ %S+ (%S+) (%S+) %S* ?([^\n]*)\n()'
-- The brace at the end of a request.
local CLOSING = string.byte('}')

-- The tasks whose turn it is, by the rules of pop.lua: { ids; heads of the queues that have tasks, each with its name, how many tasks are used,
-- when it is due next and the score of the last one; the clock; whether more wait }. Nil if the order cannot be told from the queues alone.
local function next_tasks(wanted)
  local ids, heads, clock, left = {}, {}, nil, 0
  for _, name in ipairs(PRIORITIES) do
    local due = share(name)
    -- One more than wanted, which tells whether any are left.
    local page = due and call('ZRANGE', queue(name), '0', digits[wanted], 'WITHSCORES')
    if page and page[1] then heads[#heads + 1], left = { name = name, page = page, used = 0, due = due, score = 0 }, left + #page / 2 end
  end
  while #ids < wanted and left > 0 do
    local best
    for _, head in ipairs(heads) do
      if head.page[2 * head.used + 1] and (not best or head.due < best.due) then best = head end
    end
    local id, score = best.page[2 * best.used + 1], tonumber(best.page[2 * best.used + 2])
    -- The score is damaged, or the task is in two queues.
    if score < 0 or score >= MAX_TURN or ids[id] then return nil end
    ids[id], ids[#ids + 1], left = true, id, left - 1
    best.used, best.score, clock, best.due = best.used + 1, score, best.due, best.due + STRIDE[best.name]
  end
  return { ids = ids, heads = heads, clock = clock, is_left = left > 0 }
end

-- By number: tenants, requests that have a key of their own or false, and extras of the tasks that start. Nil if a task has more to it.
local function read_starts(ids, records, states)
  local tenants, requests, extras, bytes = {}, {}, {}, 0
  for n, id in ipairs(ids) do
    local record = records[id]
    local tenant, user, terms_extras, request_start = string.match(record, WAITING)
    -- A queue timeout is in `deadlines`, which attempts.lua writes.
    if not tenant or states[id] ~= '' or string.find(terms_extras, '"queue_timeout"', 1, true) then return nil end
    local key, batch = string.match(terms_extras, '"key":"([%w_-]+)"'), string.match(terms_extras, '"batch":"([%w_-]+)"')
    extras[n] = batch and ' {"batches":["' .. batch .. '"]}' or key and ' {"keys":["' .. key .. '"]}' or ''
    local request = request_start > #record and (call('GET', P .. 'request:' .. id) or '')
    -- claim-tasks.lua fails a task whose request was lost or cut off.
    local is_begun = request and string.find(request, '^{') or string.find(record, COMPACT, request_start) or string.find(record, '^{', request_start)
    if not is_begun or string.byte(request or record, -1) ~= CLOSING then return nil end
    tenants[n], requests[n] = to_tenant(tenant, user), request
    bytes = bytes + #record + #(request or '')
    if bytes > MAX_CLAIMED_BYTES then return nil end
  end
  return { tenants = tenants, requests = requests, extras = extras }
end

-- Returns the claimed tasks.
local function write_starts(turn, starts, records)
  local ids, worker, claim_id, lease_duration = turn.ids, ARGV[2], ARGV[3], tonumber(ARGV[5])
  if #ids == 0 then return {} end
  for _, head in ipairs(turn.heads) do
    if head.used > 0 then
      call('ZREMRANGEBYRANK', queue(head.name), '0', digits[head.used - 1])
      set_share(head.name, head.due)
      set_share('round:' .. head.name, math.floor(head.score))
    end
  end
  set_share('clock', turn.clock)
  -- First attempts differ only in their extras.
  local at, lease_end = digits[now], digits[now + lease_duration]
  local first_state = '2 PROCESSING 0 started ' .. at .. '   1 1 ' .. at .. '   ' .. worker .. ' ' .. claim_id .. '  started,' .. at .. ',0'
  local states, leases, claimed = {}, {}, {}
  for n, id in ipairs(ids) do
    local state, tenant, request = first_state .. starts.extras[n], starts.tenants[n], starts.requests[n]
    states[2 * n - 1], states[2 * n] = id, state
    leases[2 * n - 1], leases[2 * n] = lease_end, id
    count('waiting', tenant, -1)
    count('running', tenant, 1)
    call('PUBLISH', P .. 'updates:' .. id, state)
    claimed[n] = request and { records[id], state, false, false, request } or { records[id], state }
  end
  call('HSET', Q .. 'states', unpack(states))
  call('ZADD', Q .. 'processing', unpack(leases))
  return claimed
end
