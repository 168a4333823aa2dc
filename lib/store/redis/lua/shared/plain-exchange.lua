-- The common case of settling and claiming: attempts that end with a chart, whose tasks nothing depends on, and waiting tasks that have not run
-- before; nothing is due, capped, paused or deferred. Reads everything before it writes anything. In any other case returns nil with nothing
-- changed, and the rest of the script does the work: Lua takes longer to create that script's functions than to run all of this.
-- ARGV as in settle.lua.
--- @include "start"
--- @include "expiry-clock"
--- @include "last-claim"
--- @include "tenants"
--- @include "index-ended"
-- Settles the attempts in ARGV and claims up to n tasks. Returns the answers to the first, and what dequeue returns.
local exchange_plain
-- A block, because a script has room for 200 locals.
do
local ENDING = '^\n2 %d+ %S+ %d+ (%S+) (%S+) %l+ %d+ (%d+) (%d+) (%d+) %S+ (%S+) (%S+) (%S*) ?[^\n]*\n()'
local WAITING = '^\n2 %d+ %S+ %d+ %S+ %S+ %l+ %d+ %d+ %d+ %d+ %S+ (%S+) %S+ %S* ?([^\n]*)\n()'
local RUNNING = '^(%d+) PROCESSING %d+ %S+ (%d+ %d* %d* %d+) (%d+) (%d+)   (%S+ %S+)  (%S* ?)(.*)$'

-- The braces of a request.
local OPENING, CLOSING = string.byte('{}', 1, 2)

-- The Idempotency-Key and the batch of a state, or false. Nil if its extras have more than one of each and the progress of steps: those stay as
-- they are.
local function parse_plain_extras(extras, keep_details)
  if extras == '' then return false, false end
  local key, batch = string.match(extras, '^{"keys":%["([%w_-]+)"%]}$'), string.match(extras, '^{"batches":%["([%w_-]+)"%]}$')
  if key or batch then return key or false, batch or false end
  key, batch = string.match(extras, '"keys":%["([%w_-]+)"%]'), string.match(extras, '"batches":%["([%w_-]+)"%]')
  local rest, steps = string.gsub(extras, '"steps":%[[^%]]*%]', '', 1)
  rest = string.gsub(string.gsub(rest, '"keys":%["[%w_-]+"%]', '', 1), '"batches":%["[%w_-]+"%]', '', 1)
  if (steps > 0 and keep_details == '0') or not string.find(rest, '^{,*}$') then return nil end
  return key or false, batch or false
end

-- The tasks whose turn it is, by the rules of pop.lua: { ids; by priority how many of them are used, when it is due next and which round it
-- serves; the clock; whether more wait }. Nil if the order cannot be told from the queues alone.
local function next_tasks(wanted)
  local ids, pages, used, due, rounds, clock, shares_in_use = {}, {}, {}, {}, {}, nil, 0
  for _, name in ipairs(PRIORITIES) do
    due[name], used[name] = share(name), 0
    -- One more than wanted, which tells whether any are left.
    pages[name] = due[name] and call('ZRANGE', queue(name), '0', digits[wanted], 'WITHSCORES') or {}
    if #pages[name] > 0 then shares_in_use = shares_in_use + 1 end
  end
  -- A queue without a share: it was lost, and mend_shares sets it.
  if call('EXISTS', queue('high'), queue('normal'), queue('low')) > shares_in_use then return nil end
  while #ids < wanted do
    local best
    for _, name in ipairs(PRIORITIES) do
      if pages[name][2 * used[name] + 1] and (not best or due[name] < due[best]) then best = name end
    end
    if not best then break end
    local id, score = pages[best][2 * used[best] + 1], tonumber(pages[best][2 * used[best] + 2])
    -- The score is damaged, or the task is in two queues.
    if score < 0 or score >= MAX_TURN or ids[id] then return nil end
    ids[id], ids[#ids + 1] = true, id
    used[best], rounds[best], clock, due[best] = used[best] + 1, score, due[best], due[best] + STRIDE[best]
  end
  local is_left = false
  for _, name in ipairs(PRIORITIES) do is_left = is_left or #pages[name] > 2 * used[name] end
  return { ids = ids, used = used, due = due, rounds = rounds, clock = clock, is_left = is_left }
end

-- The attempts that end, with what write_ends needs of each. Nil if a lease is not the current one, or a task has more to it.
local function read_ends(ids, records, states)
  local ends, other_keys = {}, {}
  for n, id in ipairs(ids) do
    local i, record = 2 + 7 * n, records[id]
    local dedup_key, message, keep_task, keep_details, keep_index, tenant, user, shared, request_start = string.match(record, ENDING)
    local version, step_times, lease, started, claimed_by, trace, extras = string.match(states[id], RUNNING)
    if not (dedup_key and version) or lease ~= ARGV[i + 1] then return nil end
    if not is_number(version + started + keep_task + keep_details + keep_index) then return nil end
    local key, batch = parse_plain_extras(extras, keep_details)
    if key == nil then return nil end
    local state = digits[version + 1] .. ' COMPLETED 100 completed ' .. step_times .. ' ' .. lease .. ' ' .. started .. ' ' .. digits[now] .. ' ' .. ARGV[i + 3] ..
      ' ' .. claimed_by .. ' complete ' .. trace .. extras
    ends[n] = {
      id = id, record = record, state = state, has_request_key = request_start > #record, dedup_key = dedup_key, message = message, keep_task = keep_task,
      keep_index = keep_index, tenant = tenant, user = user, shared = shared, chart = ARGV[i + 3], content = ARGV[i + 4], key = key, batch = batch,
      is_state_enough = ARGV[i + 5] == '1'
    }
    other_keys[#other_keys + 1] = Q .. 'dependents:' .. id
    if not other_keys[tenant] then other_keys[tenant], other_keys[#other_keys + 1] = true, Q .. 'capped:' .. tenant end
  end
  if #other_keys > 0 and call('EXISTS', unpack(other_keys)) > 0 then return nil end
  return ends
end

-- By number: tenants, requests that have a key of their own or false, and extras of the tasks that start. Nil if a task has more to it.
local function read_starts(ids, records, states)
  local tenants, requests, extras, bytes = {}, {}, {}, 0
  for n, id in ipairs(ids) do
    local record = records[id]
    local tenant, terms_extras, request_start = string.match(record, WAITING)
    -- A queue timeout is in `deadlines`, which claim.lua writes.
    if not tenant or states[id] ~= '' or string.find(terms_extras, '"queue_timeout"', 1, true) then return nil end
    local key, batch = string.match(terms_extras, '"key":"([%w_-]+)"'), string.match(terms_extras, '"batch":"([%w_-]+)"')
    extras[n] = batch and ' {"batches":["' .. batch .. '"]}' or key and ' {"keys":["' .. key .. '"]}' or ''
    local request = request_start > #record and (call('GET', P .. 'request:' .. id) or '')
    -- claim.lua fails a task whose request was lost or cut off.
    if string.byte(request or record, request and 1 or request_start) ~= OPENING or string.byte(request or record, -1) ~= CLOSING then return nil end
    tenants[n], requests[n] = tenant, request
    bytes = bytes + #record + #(request or '')
    if bytes > MAX_CLAIMED_BYTES then return nil end
  end
  return { tenants = tenants, requests = requests, extras = extras }
end

-- Returns the ids of what ended, and the answers.
local function write_ends(ends)
  local ids, checkpoints, finished, answers, longest = {}, {}, {}, {}, 0
  for n, one in ipairs(ends) do
    local id, keep_task = one.id, one.keep_task
    if one.content ~= '' then call('SET', P .. 'chart:' .. one.chart, one.content, 'PX', keep_task) end
    local record = one.state .. one.record
    call('SET', P .. 'task:' .. id, record, 'PX', keep_task)
    if one.has_request_key then call('PEXPIRE', P .. 'request:' .. id, keep_task) end
    if one.key then call('PEXPIRE', Q .. 'idempotency:' .. one.key, keep_task) end
    if one.batch then end_in_batch(one.batch, keep_task) end
    count('running', one.tenant, -1)
    index_ended(P .. 'message_tasks:' .. one.message .. ':' .. one.user, id, one.dedup_key, keep_task, one.keep_index, true)
    if one.shared ~= '' then index_chart(P .. 'message_charts:' .. one.message .. ':' .. one.shared, id, keep_task, one.keep_index) end
    call('PUBLISH', P .. 'updates:' .. id, one.state)
    answers[n] = { 'ok', one.is_state_enough and one.state or { record, false, false, one.has_request_key and call('GET', P .. 'request:' .. id) or nil } }
    ids[n], checkpoints[n] = id, Q .. 'checkpoints:' .. id
    finished[2 * n - 1], finished[2 * n] = digits[now + keep_task], id
    longest = math.max(longest, tonumber(keep_task))
  end
  if #ids > 0 then
    call('HDEL', Q .. 'states', unpack(ids))
    call('ZREM', Q .. 'processing', unpack(ids))
    call('ZREM', Q .. 'active', unpack(ids))
    call('ZADD', Q .. 'finished', unpack(finished))
    prolong(Q .. 'finished', digits[longest])
    call('DEL', unpack(checkpoints))
  end
  return ids, answers
end

-- Returns the claimed tasks.
local function write_starts(turn, starts, records)
  local ids, worker, claim_id, lease_duration = turn.ids, ARGV[2], ARGV[3], tonumber(ARGV[5])
  if #ids == 0 then return {} end
  for _, name in ipairs(PRIORITIES) do
    if turn.used[name] > 0 then
      call('ZREMRANGEBYRANK', queue(name), '0', digits[turn.used[name] - 1])
      set_share(name, turn.due[name])
      set_share('round:' .. name, math.floor(turn.rounds[name]))
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

function exchange_plain()
  local claim_id, wanted, lease_duration, max_running = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
  if max_running > 0 or (expected_now and expected_now - now > CLOCK_TOLERANCE_MS) then return nil end
  if call('EXISTS', queue('again'), Q .. 'delayed', Q .. 'deadlines') > 0 then return nil end
  local first_end = call('ZRANGE', Q .. 'processing', '0', '0', 'WITHSCORES')[2]
  if first_end and tonumber(first_end) <= expired_by then return nil end

  local ending, seen = {}, {}
  for i = 9, #ARGV - 1, 7 do
    local id = ARGV[i]
    if ARGV[i + 2] ~= 'complete' or seen[id] then return nil end
    seen[id], ending[#ending + 1] = true, id
  end
  local turn = next_tasks(math.min(wanted, MAX_CLAIMED))
  if not turn then return nil end

  local keys, ids, records, states = { last_claim_key, Q .. 'paused', Q .. 'unsettled' }, {}, {}, {}
  for _, list in ipairs({ ending, turn.ids }) do
    for _, id in ipairs(list) do keys[#keys + 1], ids[#ids + 1] = P .. 'task:' .. id, id end
  end
  local values = call('MGET', unpack(keys))
  local last_claim, paused, has_deferred = values[1], values[2], values[3]
  if paused or has_deferred or (last_claim and string.sub(last_claim, 1, #claim_id + 1) == claim_id .. ' ') then return nil end
  local stored_states = #ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}
  for n, id in ipairs(ids) do records[id], states[id] = values[n + 3] or '', stored_states[n] or '' end

  local ends = read_ends(ending, records, states)
  local starts = ends and read_starts(turn.ids, records, states)
  if not starts then return nil end

  local ended, answers = write_ends(ends)
  local claimed = write_starts(turn, starts, records)
  write_tenants()
  if #claimed + #ended > 0 then
    call('SET', last_claim_key, claim_id .. ' ' .. table.concat(turn.ids, ' ') .. ';' .. table.concat(ended, ' ') .. ';', 'PX', digits[lease_duration])
  end
  if turn.is_left then signal_work() end
  local next_end = call('ZRANGE', Q .. 'processing', '0', '0', 'WITHSCORES')[2]
  return answers, { claimed, {}, next_end and math.max(0, next_end - expired_by) or -1, digits[now], 0, {} }
end
end
