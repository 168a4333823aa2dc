-- Settling in the common case: attempts that end with a chart, whose tasks nothing depends on. Part of plain-exchange.lua.
local ENDING = '^\n2 %d+ %S+ %d* (%S+) (%S+) %l+ %d+ (%d+) (%d+) (%d+) %S+ (%S+) (%S+) (%S*) ?[^\n]*\n()'
local RUNNING = '^(%d+) PROCESSING %d+ %S+ (%d+ %d* %d* %d+) (%d+) (%d+)   (%S+) %S+  (%S* ?)(.*)$'

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

-- The attempts that end, with what write_ends needs of each. `others` gets the keys that must not exist. Nil if a lease is not the current one,
-- or a task has more to it.
local function read_ends(ids, records, states, others)
  local ends = {}
  for n, id in ipairs(ids) do
    local i, record = 2 + 7 * n, records[id]
    local dedup_key, message, keep_task, keep_details, keep_index, tenant, user, shared, request_start = string.match(record, ENDING)
    local version, step_times, lease, started, worker, trace, extras = string.match(states[id], RUNNING)
    if not (dedup_key and version) or lease ~= ARGV[i + 1] then return nil end
    if not is_number(version + started + keep_task + keep_details + keep_index) then return nil end
    local key, batch = parse_plain_extras(extras, keep_details)
    if key == nil then return nil end
    tenant = to_tenant(tenant, user)
    local state = digits[version + 1] .. ' COMPLETED 100 completed ' .. step_times .. ' ' .. lease .. ' ' .. started .. ' ' .. digits[now] .. ' ' .. ARGV[i + 3] ..
      ' ' .. worker .. '  complete ' .. trace .. extras
    -- By place and not by name: a table with names for each task would make the script a tenth slower.
    ends[n] = {
      id, record, state, request_start > #record, dedup_key, message, keep_task, keep_index, tenant, user, shared, ARGV[i + 3], ARGV[i + 4], key, batch,
      ARGV[i + 5] == '1'
    }
    others[#others + 1] = Q .. 'dependents:' .. id
    if not others[tenant] then others[tenant], others[#others + 1] = true, Q .. 'capped:' .. tenant end
  end
  return ends
end

-- Returns the ids of what ended, and the answers.
local function write_ends(ends)
  local ids, checkpoints, finished, answers, longest = {}, {}, {}, {}, 0
  for n, one in ipairs(ends) do
    local id, record, state, has_request_key, dedup_key, message, keep_task, keep_index, tenant, user, shared, chart, content, key, batch, is_state_enough =
      unpack(one)
    if content ~= '' then call('SET', P .. 'chart:' .. chart, content, 'PX', keep_task) end
    local ended = state .. record
    call('SET', P .. 'task:' .. id, ended, 'PX', keep_task)
    if has_request_key then call('PEXPIRE', P .. 'request:' .. id, keep_task) end
    if key then call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
    if batch then end_in_batch(batch, keep_task) end
    count('running', tenant, -1)
    index_ended(P .. 'message_tasks:' .. message .. ':' .. user, id, dedup_key, keep_task, keep_index, true)
    if shared ~= '' then index_chart(P .. 'message_charts:' .. message .. ':' .. shared, id, keep_task, keep_index) end
    call('PUBLISH', P .. 'updates:' .. id, state)
    answers[n] = { 'ok', is_state_enough and state or { ended, false, false, has_request_key and call('GET', P .. 'request:' .. id) or nil } }
    ids[n], checkpoints[n] = id, Q .. 'checkpoints:' .. id
    finished[2 * n - 1], finished[2 * n] = digits[now + keep_task], id
    longest = math.max(longest, tonumber(keep_task))
  end
  if #ids > 0 then
    call('HDEL', Q .. 'states', unpack(ids))
    call('ZREM', Q .. 'processing', unpack(ids))
    call('ZREM', Q .. 'active', unpack(ids))
    call('ZADD', Q .. 'finished', unpack(finished))
    -- It expires already, but for the first task: one command is enough.
    if call('PEXPIRE', Q .. 'finished', digits[longest], 'GT') == 0 then call('PEXPIRE', Q .. 'finished', digits[longest], 'NX') end
    call('DEL', unpack(checkpoints))
  end
  return ids, answers
end
