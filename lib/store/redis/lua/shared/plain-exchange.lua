-- What settling and claiming do where they have little to decide, as they mostly have: attempts that end with a chart, of tasks that nothing
-- else depends on, and waiting tasks that have not run before; nothing is due, capped, paused or left over. Everything is read before anything
-- is written. Nil, with nothing changed, where it is not so: then the rest of the script does it, whose functions take Lua longer to make than
-- all of this.
-- ARGV as in close.lua.
--- @include "start"
--- @include "expected"
--- @include "note"
--- @include "tenants"
--- @include "index"
-- Settles what is in ARGV, claims up to `wanted` more, and returns the answers to what was settled and, as take.lua does, to the claim.
local exchange_plain
-- Lua allows 200 locals: those in here are not needed behind it.
do
local ENDING = '^\n2 %d+ %S+ %d+ (%S+) (%S+) %l+ %d+ (%d+) (%d+) (%d+) %S+ (%S+) (%S+) (%S*) ?[^\n]*\n()'
local WAITING = '^\n2 %d+ %S+ %d+ %S+ %S+ %l+ %d+ %d+ %d+ %d+ %S+ (%S+) %S+ %S* ?([^\n]*)\n()'
local RUNNING = '^(%d+) PROCESSING %d+ %S+ (%d+ %d* %d* %d+) (%d+) (%d+)   (%S+ %S+)  (%S* ?)(.*)$'

-- The braces of a request.
local OPENING, CLOSING = string.byte('{}', 1, 2)

-- What few states have, where that is no more than a key or a batch, and the progress of steps: it stays as it is. Nil where there is more to it.
local function parse_plain_extras(rest, keep_details)
  if rest == '' then return false, false end
  local key, batch = string.match(rest, '^{"keys":%["([%w_-]+)"%]}$'), string.match(rest, '^{"batches":%["([%w_-]+)"%]}$')
  if key or batch then return key or false, batch or false end
  key, batch = string.match(rest, '"keys":%["([%w_-]+)"%]'), string.match(rest, '"batches":%["([%w_-]+)"%]')
  local left, steps = string.gsub(rest, '"steps":%[[^%]]*%]', '', 1)
  left = string.gsub(string.gsub(left, '"keys":%["[%w_-]+"%]', '', 1), '"batches":%["[%w_-]+"%]', '', 1)
  if (steps > 0 and keep_details == '0') or not string.find(left, '^{,*}$') then return nil end
  return key or false, batch or false
end

-- The ids of the attempts that end. Nil where one ends otherwise than with a chart, or twice.
local function ending_ids()
  local ids, seen = {}, {}
  for i = 9, #ARGV - 1, 7 do
    local id = ARGV[i]
    if ARGV[i + 2] ~= 'complete' or seen[id] then return nil end
    seen[id], ids[#ids + 1] = true, id
  end
  return ids
end

-- The ids of the tasks whose turn it is, by the rules of pop in leave.lua; by priority how many of them, when it is due next, and its round;
-- the clock, and whether more wait. Nil where one has run before.
local function next_ids(wanted)
  local ids, pages, used, due, rounds, clock, shares_in_use = {}, {}, {}, {}, {}, nil, 0
  for _, name in ipairs(PRIORITIES) do
    due[name], used[name] = share(name), 0
    -- One more, which says whether any are left.
    pages[name] = due[name] and call('ZRANGE', queue(name), '0', digits[wanted], 'WITHSCORES') or {}
    if #pages[name] > 0 then shares_in_use = shares_in_use + 1 end
  end
  -- A priority that has lost its share is found in leave.lua.
  if call('EXISTS', queue('high'), queue('normal'), queue('low')) > shares_in_use then return nil end
  while #ids < wanted do
    local best
    for _, name in ipairs(PRIORITIES) do
      if pages[name][2 * used[name] + 1] and (not best or due[name] < due[best]) then best = name end
    end
    if not best then break end
    local id, score = pages[best][2 * used[best] + 1], tonumber(pages[best][2 * used[best] + 2])
    -- In two queues, it is claimed by one of them only.
    if score < 0 or score >= MAX_TURN or ids[id] then return nil end
    ids[id], ids[#ids + 1] = true, id
    used[best], rounds[best], clock, due[best] = used[best] + 1, score, due[best], due[best] + STRIDE[best]
  end
  local is_left = false
  for _, name in ipairs(PRIORITIES) do is_left = is_left or #pages[name] > 2 * used[name] end
  return { ids = ids, used = used, due = due, rounds = rounds, clock = clock, is_left = is_left }
end

-- The notes of this call, and the records and states of tasks by their ids.
local function read_tasks(worker, ending, starting)
  local names, ids, records, states = { note_of(worker), Q .. 'paused', Q .. 'unsettled' }, {}, {}, {}
  for _, list in ipairs({ ending, starting }) do
    for _, id in ipairs(list) do names[#names + 1], ids[#ids + 1] = P .. 'task:' .. id, id end
  end
  local found, known = call('MGET', unpack(names)), #ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}
  for n, id in ipairs(ids) do records[id], states[id] = found[n + 3] or '', known[n] or '' end
  return found, records, states
end

-- The attempts that end: each as { id, record, state, whether its request is apart, hash, message, keep_task, keep_index, tenant, user, shared, chart,
-- content, key or false, batch or false, whether the state is enough of an answer }.
local function read_ends(ids, records, states)
  local ends, others = {}, {}
  for n, id in ipairs(ids) do
    local i, record = 2 + 7 * n, records[id]
    local hash, message, keep_task, keep_details, keep_index, tenant, user, shared, request = string.match(record, ENDING)
    local version, reached, lease, started, claim, trace, rest = string.match(states[id], RUNNING)
    if not (hash and version) or lease ~= ARGV[i + 1] then return nil end
    if not is_number(version + started + keep_task + keep_details + keep_index) then return nil end
    local key, batch = parse_plain_extras(rest, keep_details)
    if key == nil then return nil end
    local text = digits[version + 1] .. ' COMPLETED 100 completed ' .. reached .. ' ' .. lease .. ' ' .. started .. ' ' .. digits[now] .. ' ' .. ARGV[i + 3] ..
      ' ' .. claim .. ' complete ' .. trace .. rest
    ends[n] = { id, record, text, request > #record, hash, message, keep_task, keep_index, tenant, user, shared, ARGV[i + 3], ARGV[i + 4], key, batch, ARGV[i + 5] == '1' }
    others[#others + 1] = Q .. 'dependents:' .. id
    if not others[tenant] then others[tenant], others[#others + 1] = true, Q .. 'capped:' .. tenant end
  end
  if #others > 0 and call('EXISTS', unpack(others)) > 0 then return nil end
  return ends
end

-- Of the tasks that start, by their number: tenants, requests that are apart, and what few states have. Nil where one has more to it.
local function read_starts(ids, records, states)
  local tenants, requests, rest, bytes = {}, {}, {}, 0
  for n, id in ipairs(ids) do
    local record = records[id]
    local tenant, extras, request = string.match(record, WAITING)
    -- One with a deadline leaves that, too.
    if not tenant or states[id] ~= '' or string.find(extras, '"queue_timeout"', 1, true) then return nil end
    local key, batch = string.match(extras, '"key":"([%w_-]+)"'), string.match(extras, '"batch":"([%w_-]+)"')
    rest[n] = batch and ' {"batches":["' .. batch .. '"]}' or key and ' {"keys":["' .. key .. '"]}' or ''
    local apart = request > #record and (call('GET', P .. 'request:' .. id) or '')
    -- What was lost or cut off is found out in take.lua.
    if string.byte(apart or record, apart and 1 or request) ~= OPENING or string.byte(apart or record, -1) ~= CLOSING then return nil end
    tenants[n], requests[n] = tenant, apart
    bytes = bytes + #record + #(requests[n] or '')
    if bytes > MAX_CLAIMED_BYTES then return nil end
  end
  return { tenants = tenants, requests = requests, rest = rest }
end

local function write_end(one)
  local id, record, text, is_apart, hash, message, keep_task, keep_index, tenant, user, shared, chart, content, key, batch, is_enough = unpack(one)
  if content ~= '' then call('SET', P .. 'chart:' .. chart, content, 'PX', keep_task) end
  local ended = text .. record
  call('SET', P .. 'task:' .. id, ended, 'PX', keep_task)
  if is_apart then call('PEXPIRE', P .. 'request:' .. id, keep_task) end
  if key then call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
  if batch then end_in_batch(batch, keep_task) end
  count('running', tenant, -1)
  index_ended(P .. 'message_tasks:' .. message .. ':' .. user, id, hash, keep_task, keep_index, true)
  if shared ~= '' then index_chart(P .. 'message_charts:' .. message .. ':' .. shared, id, keep_task, keep_index) end
  call('PUBLISH', P .. 'updates:' .. id, text)
  return { 'ok', is_enough and text or { ended, false, false, is_apart and call('GET', P .. 'request:' .. id) or nil } }
end

-- Returns what ended, and the answers.
local function write_ends(ends)
  local ids, keys, finished, answers, longest = {}, {}, {}, {}, 0
  if #ends == 0 then return ids, answers end
  for n, one in ipairs(ends) do
    answers[n] = write_end(one)
    ids[n], keys[n] = one[1], Q .. 'checkpoints:' .. one[1]
    finished[2 * n - 1], finished[2 * n] = digits[now + one[7]], one[1]
    longest = math.max(longest, tonumber(one[7]))
  end
  call('HDEL', Q .. 'states', unpack(ids))
  call('ZREM', Q .. 'processing', unpack(ids))
  call('ZREM', Q .. 'active', unpack(ids))
  call('ZADD', Q .. 'finished', unpack(finished))
  prolong(Q .. 'finished', digits[longest])
  call('DEL', unpack(keys))
  return ids, answers
end

local function write_starts(turn, starts, records, worker, claim, lease_duration)
  local ids = turn.ids
  if #ids == 0 then return {} end
  for _, name in ipairs(PRIORITIES) do
    if turn.used[name] > 0 then
      call('ZREMRANGEBYRANK', queue(name), '0', digits[turn.used[name] - 1])
      set_share(name, turn.due[name])
      set_share('round:' .. name, math.floor(turn.rounds[name]))
    end
  end
  set_share('clock', turn.clock)
  -- Their first attempts begin alike.
  local at, until_then = digits[now], digits[now + lease_duration]
  local start = '2 PROCESSING 0 started ' .. at .. '   1 1 ' .. at .. '   ' .. worker .. ' ' .. claim .. '  started,' .. at .. ',0'
  local states, leases, claimed = {}, {}, {}
  for n, id in ipairs(ids) do
    local text, tenant, request = start .. starts.rest[n], starts.tenants[n], starts.requests[n]
    states[2 * n - 1], states[2 * n] = id, text
    leases[2 * n - 1], leases[2 * n] = until_then, id
    count('waiting', tenant, -1)
    count('running', tenant, 1)
    call('PUBLISH', P .. 'updates:' .. id, text)
    claimed[n] = request and { records[id], text, false, false, request } or { records[id], text }
  end
  call('HSET', Q .. 'states', unpack(states))
  call('ZADD', Q .. 'processing', unpack(leases))
  return claimed
end

function exchange_plain(worker, claim, wanted, lease_duration, cap)
  if cap > 0 or (expected_now and expected_now - now > CLOCK_TOLERANCE_MS) then return nil end
  if call('EXISTS', queue('again'), Q .. 'delayed', Q .. 'deadlines') > 0 then return nil end
  local first = call('ZRANGE', Q .. 'processing', '0', '0', 'WITHSCORES')[2]
  if first and tonumber(first) <= expired_by then return nil end
  local ending, turn = ending_ids(), next_ids(math.min(wanted, MAX_CLAIMED))
  if not (ending and turn) then return nil end
  local notes, records, states = read_tasks(worker, ending, turn.ids)
  local before, paused, deferred = notes[1], notes[2], notes[3]
  if paused or deferred or (before and string.sub(before, 1, #claim + 1) == claim .. ' ') then return nil end
  local ends, starts = read_ends(ending, records, states), read_starts(turn.ids, records, states)
  if not (ends and starts) then return nil end

  local settled, answers = write_ends(ends)
  local claimed = write_starts(turn, starts, records, worker, claim, lease_duration)
  write_tenants()
  if #claimed + #settled > 0 then
    call('SET', note_of(worker), claim .. ' ' .. table.concat(turn.ids, ' ') .. ';' .. table.concat(settled, ' ') .. ';', 'PX', digits[lease_duration])
  end
  if turn.is_left then signal_work() end
  local head = call('ZRANGE', Q .. 'processing', '0', '0', 'WITHSCORES')[2]
  return answers, { claimed, {}, head and math.max(0, head - expired_by) or -1, digits[now], 0, {} }
end
end
