#!lua flags=allow-oom
-- mend: finds what was lost of the indexes and counts, a part at a time, and rebuilds it from the records. What cannot be rebuilt is given up.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] cursor, '' to begin
-- Returns { the next cursor or '' at the end, how much was mended, 1 if more than usual is wrong }
-- Atomic because what is looked at must not move meanwhile. Runs where Redis is full: what is lost holds work up.
--- @include "base"
--- @include "queue"
--- @include "counts"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
-- Tasks that one call looks at, and keys that it asks for: Redis serves nobody else meanwhile.
local PAGE, KEYS_ASKED = 50, 150
-- ms that a worker has to say that it holds a lease of which the end was lost, and the longest lease that is believed.
local GRACE_MS, MAX_LEASE_MS = 60000, 86400000
local mended = 0
local function note_mended() mended = mended + 1 end

-- Endings are left to the next claim: it tells the process that logs them.
local told = {}
local function leave_to_claim(entry)
  if told[entry] then return end
  told[entry] = true
  call('RPUSH', Q .. 'untold', entry)
  note_mended()
end

-- Nothing is left of the task but its traces.
local function forget_traces(id)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  for _, key in ipairs({ 'active', 'processing', 'delayed', 'deadlines' }) do call('ZREM', Q .. key, id) end
  call('HDEL', Q .. 'states', id)
  call('DEL', P .. 'task:' .. id, request_key(id), Q .. 'attempts:' .. id, Q .. 'checkpoints:' .. id)
  -- Those who wait for it fail.
  leave_to_claim(id)
end

local function put_score(key, score, id)
  call('ZADD', key, digits[score], id)
  note_mended()
end

local function check_dependencies(task)
  local id, extras, seen, left = task.id, extras_of(task.state), {}, 0
  fetch(task.terms.deps or {})
  for _, dep in ipairs(task.terms.deps or {}) do
    local key = Q .. 'dependents:' .. dep
    local need = not seen[dep] and find_kept(dep)
    local status = need and need.state.status
    local is_told_of = not seen[dep] and call('ZSCORE', key, id)
    if not seen[dep] and (status ~= 'COMPLETED' or is_told_of) then
      left = left + 1
      if not is_told_of then put_score(key, next_order(), id) end
      if status == 'COMPLETED' then
        -- Its end is being told, or what tells of it was lost.
        if call('EXISTS', Q .. 'untold') == 0 then leave_to_claim(dep .. '+') end
      elseif status ~= 'PENDING' and status ~= 'PROCESSING' and status ~= 'LOST' and call('EXISTS', Q .. 'untold') == 0 then
        leave_to_claim(dep)
      end
    end
    seen[dep] = true
  end
  if left == 0 and task.terms.deps and task.terms.deps[1] then
    -- All have completed, and it was not told of the last one.
    left = 1
    put_score(Q .. 'dependents:' .. task.terms.deps[1], next_order(), id)
    leave_to_claim(task.terms.deps[1] .. '+')
  end
  if left == 0 then
    leave_to_claim(id .. '!')
  elseif extras.waits ~= left then
    extras.waits = left
    change(task)
    note_mended()
  end
end

-- A turn further off than all that its tenant has waiting was not given by the queue.
local function is_far(priority, tenant, turn)
  return turn < 0 or turn >= MAX_TURN or turn > (share('round:' .. priority) or 0) + ROUND * (2 * counted('waiting', tenant) + 100)
end

local function check_queued(task)
  local id, terms, state = task.id, task.terms, task.state
  local name, score = queue_of(id)
  if name and (name == 'again') ~= (state.lease > 0) then
    -- It waits in the order of those that have run, and its state does not know of it, or the reverse.
    if state.lease == 0 then leave_to_claim(id .. '!') end
  elseif name and STRIDE[name] and is_far(name, terms.tenant, score) then
    call('ZREM', queue(name), id)
    turns[name][terms.tenant] = nil
    call('HDEL', Q .. 'turns:' .. name, terms.tenant)
    enqueue_task(id, terms)
    note_mended()
  elseif not name and call('ZSCORE', Q .. 'capped:' .. terms.tenant, id) then
    if counted('running', terms.tenant) == 0 then
      readmit_capped(terms.tenant)
      note_mended()
    end
  elseif not name then
    if state.lease > 0 then add_to_queue('again', id, digits[now]) else enqueue_task(id, terms) end
    notify_workers()
    note_mended()
  end
  if terms.queue_timeout and state.lease == 0 then
    local ends, known = state.at + terms.queue_timeout, tonumber(call('ZSCORE', Q .. 'deadlines', id) or nil)
    if not known or known > ends then put_score(Q .. 'deadlines', ends, id) end
  end
end

local function check_pending(task)
  local id, state = task.id, task.state
  local delayed = call('ZSCORE', Q .. 'delayed', id)
  if state.step == 'waiting_for_dependencies' then
    check_dependencies(task)
  elseif state.step == 'scheduled' or state.step == 'retrying' then
    -- What has come due is in a queue, or aside, with its step as it was.
    if delayed and tonumber(delayed) > state.at then
      put_score(Q .. 'delayed', state.at, id)
    elseif not delayed and not is_placed(task) then
      put_score(Q .. 'delayed', state.at, id)
    end
  elseif state.lease == 0 and (delayed or call('ZSCORE', Q .. 'processing', id)) then
    -- Its state was lost, and with it that it has run.
    leave_to_claim(id .. '!')
  else
    check_queued(task)
  end
end

local function check_running(task)
  local ends = tonumber(call('ZSCORE', Q .. 'processing', task.id) or nil)
  if not ends or ends > now + MAX_LEASE_MS then put_score(Q .. 'processing', now + GRACE_MS, task.id) end
end

local function check_index(task)
  local key, id, hash = messages_of(task.terms), task.id, task.terms.dedup_key
  local score = tonumber(call('ZSCORE', key, id) or nil)
  local is_in = score and score < 0
  if is_in and has_dedup_key(key, hash) then return end
  if not is_in then index_active(key, id, hash, first_of(key)) end
  -- Whether others ask for the same was lost with it.
  clear_answer(key, hash)
  note_mended()
end

local function check(id)
  local task = find(id)
  if not task then
    forget_traces(id)
    return
  end
  local state = task.state
  if state.completed then
    call('ZREM', Q .. 'active', id)
    if not call('ZSCORE', Q .. 'finished', id) then call('ZADD', Q .. 'finished', digits[expires_at(task)], id) end
    return note_mended()
  end
  if state.status == 'LOST' then return leave_to_claim(id .. '!') end
  if state.status == 'PROCESSING' then check_running(task) else check_pending(task) end
  check_index(task)
end

-- Tasks, from the oldest; what leaves `active` moves the others up.
local function look_at_active(from)
  local key = Q .. 'active'
  local ids, before = call('ZRANGE', key, from, from + PAGE - 1), call('ZCARD', key)
  fetch(ids)
  for _, id in ipairs(ids) do check(id) end
  if #ids < PAGE then return 's:0' end
  return 'a:' .. digits[from + PAGE - (before - call('ZCARD', key))]
end

-- A record that no index has: it was in one that was lost.
local function look_at_record(id)
  if call('ZSCORE', Q .. 'active', id) or call('ZSCORE', Q .. 'finished', id) then return end
  local task = find(id)
  -- Versions with other formats have their own.
  if not task then return end
  if task.state.completed then
    put_score(Q .. 'finished', expires_at(task), id)
  else
    put_score(Q .. 'active', task.terms.created, id)
    check(id)
  end
end

-- Parts of a task of which the record is gone.
local PARTS = { P .. 'request:', Q .. 'attempts:', Q .. 'checkpoints:', Q .. 'dependents:' }
local function look_at_part(key)
  for i, start in ipairs(PARTS) do
    if string.sub(key, 1, #start) == start then
      local id = string.sub(key, #start + 1)
      if call('EXISTS', P .. 'task:' .. id) == 1 then return end
      if i < #PARTS then call('DEL', key) else leave_to_claim(id) end
      return note_mended()
    end
  end
end

-- Unfinished tasks in an index that are gone keep it from expiring.
local INDEX = P .. 'message_tasks:'
local function look_at_index(key)
  if string.sub(key, 1, #INDEX) ~= INDEX then return end
  local removed, left, found = 0, 0, call('ZRANGEBYSCORE', key, FIRST, '(0', 'WITHSCORES', 'LIMIT', 0, PAGE)
  for i = 1, #found, 2 do
    if call('EXISTS', P .. 'task:' .. found[i]) == 0 then
      local pointer = digits[found[i + 1] - FAR]
      call('ZREMRANGEBYSCORE', key, pointer, pointer)
      removed = removed + call('ZREM', key, found[i])
    else
      left = left + 1
    end
  end
  if removed > 0 and left == 0 then call('PEXPIRE', key, MAX_LEASE_MS, 'NX') end
  mended = mended + removed
end

-- A batch or an Idempotency-Key of which the tasks are gone: what counts them had lost one, so that they never expire.
local BATCHES, BOUND = Q .. 'batch:', Q .. 'idempotency:'
local function look_at_binding(key)
  local names, bound = {}, { key }
  if string.sub(key, 1, #BATCHES) == BATCHES then
    local ids, idempotency = unpack(call('HMGET', key, 'ids', 'key'))
    for id in string.gmatch(ids or '', '%S+') do
      if #names < MAX_FETCHED then names[#names + 1] = P .. 'task:' .. id end
    end
    -- Its key leads to the batch, and may have been looked at before.
    if idempotency and idempotency ~= '' then bound[2] = BOUND .. idempotency end
  elseif string.sub(key, 1, #BOUND) == BOUND then
    local id = string.sub(call('GET', key) or '', 1, 36)
    names = { P .. 'task:' .. id, BATCHES .. id }
  else
    return
  end
  if #names == 0 or call('EXISTS', unpack(names)) == 0 then mended = mended + call('DEL', unpack(bound)) end
end

local function look_at_keys(cursor)
  local ok = redis.pcall('SCAN', cursor, 'MATCH', (string.gsub(P, '[%*%?%[%]\\]', '\\%0')) .. '*', 'COUNT', KEYS_ASKED)
  -- A user that may not: then only what is in `active` is looked at.
  if ok.err then return 'c:' end
  local start = P .. 'task:'
  for _, key in ipairs(ok[2]) do
    if string.sub(key, 1, #start) == start then
      look_at_record(string.sub(key, #start + 1))
    else
      look_at_part(key)
      look_at_index(key)
      look_at_binding(key)
    end
  end
  return ok[1] == '0' and 'h:0' or 's:' .. ok[1]
end

-- States of tasks of which the record is gone.
local function look_at_states(cursor)
  local ok = redis.pcall('HSCAN', Q .. 'states', cursor, 'COUNT', KEYS_ASKED)
  if ok.err then return 'c:' end
  for i = 1, #ok[2], 2 do
    local id = ok[2][i]
    if call('EXISTS', P .. 'task:' .. id) == 0 then mended = mended + call('HDEL', Q .. 'states', id) end
  end
  return ok[1] == '0' and 'c:' or 'h:' .. ok[1]
end

local function mend_turns()
  for _, priority in ipairs(PRIORITIES) do
    local key = Q .. 'turns:' .. priority
    local known = call('HGETALL', key)
    for i = 1, #known, 2 do
      local tenant, turn = known[i], tonumber(known[i + 1])
      local mark = string.sub(tenant, 1, 1)
      local is_mark = mark == '+' or mark == '='
      local waits = counted('waiting', is_mark and string.sub(tenant, 2) or tenant) > 0
      if not waits or (not is_mark and not (turn and not is_far(priority, tenant, turn))) then
        call('HDEL', key, tenant)
        note_mended()
      end
    end
  end
end

local function is_sound()
  local unfinished, running = call('ZCARD', Q .. 'active'), call('ZCARD', Q .. 'processing')
  return counted('waiting', '') + counted('running', '') == unfinished and counted('running', '') == running
end

local wrong, cursor = 0, ARGV[2]
if not string.find(cursor, '^%l:%d*$') then wrong, cursor = is_sound() and 0 or 1, 'a:0' end
-- One part, and what comes after it where that is at its end: of a small store, all in one call.
local function go_on(from, look)
  local at = string.match(cursor, '^' .. from .. ':(%d*)$')
  if at then cursor = look(at) end
end
go_on('a', function(at) return look_at_active(tonumber(at)) end)
go_on('s', look_at_keys)
go_on('h', look_at_states)
go_on('c', function()
  mend_counts()
  mended = mended + miscounts
  mend_turns()
  if mend_shares() then note_mended() end
  if any_queued() then notify_workers() end
  return ''
end)
if next(told) then
  call('SET', Q .. 'unsettled', 1)
  notify_workers()
elseif call('EXISTS', Q .. 'untold', Q .. 'superseded') > 0 then
  call('SET', Q .. 'unsettled', 1)
end
commit()
return { cursor, mended, wrong }
