-- Checks all keys of the queue: records that no index has, and what is left of tasks whose records are gone.

-- Keys that one call asks Redis for: it serves no other client meanwhile.
local SCAN_COUNT = 150

local function check_record(id)
  if call('ZSCORE', Q .. 'active', id) or call('ZSCORE', Q .. 'finished', id) then return end
  local task = find(id)
  -- It has the format of another version of the package.
  if not task then return end
  if task.state.completed then
    put_score(Q .. 'finished', expires_at(task), id)
  else
    put_score(Q .. 'active', task.terms.created, id)
    check_task(id)
  end
end

-- Keys of a task besides its record.
local PARTS = { P .. 'request:', Q .. 'attempts:', Q .. 'checkpoints:', Q .. 'dependents:' }
local function check_part(key)
  for i, start in ipairs(PARTS) do
    if string.sub(key, 1, #start) == start then
      local id = string.sub(key, #start + 1)
      if call('EXISTS', P .. 'task:' .. id) == 1 then return end
      -- Dependents fail; the other parts are of no use.
      if i < #PARTS then call('DEL', key) else defer_to_claim(id) end
      return count_mended()
    end
  end
end

-- The index of a message does not expire while it has unfinished tasks: those whose records are gone would keep it for ever.
local MESSAGE_INDEX = P .. 'message_tasks:'
local function check_index_key(key)
  if string.sub(key, 1, #MESSAGE_INDEX) ~= MESSAGE_INDEX then return end
  local removed, left, found = 0, 0, call('ZRANGEBYSCORE', key, FIRST, '(0', 'WITHSCORES', 'LIMIT', 0, MEND_PAGE)
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

-- A batch or an Idempotency-Key whose tasks are all gone would never expire: their ends were not counted.
local BATCH, IDEMPOTENCY = Q .. 'batch:', Q .. 'idempotency:'
local function check_binding(key)
  local names, bound = {}, { key }
  if string.sub(key, 1, #BATCH) == BATCH then
    local ids, idempotency = unpack(call('HMGET', key, 'ids', 'key'))
    for id in string.gmatch(ids or '', '%S+') do
      if #names < MAX_ARGUMENTS then names[#names + 1] = P .. 'task:' .. id end
    end
    -- The key of the batch may have been scanned before, when the batch still existed. By now it may be the key of another.
    local other = idempotency and idempotency ~= '' and IDEMPOTENCY .. idempotency
    if other and string.sub(call('GET', other) or '', 1, 36) == string.sub(key, #BATCH + 1) then bound[2] = other end
  elseif string.sub(key, 1, #IDEMPOTENCY) == IDEMPOTENCY then
    local id = string.sub(call('GET', key) or '', 1, 36)
    names = { P .. 'task:' .. id, BATCH .. id }
  else
    return
  end
  if #names == 0 or call('EXISTS', unpack(names)) == 0 then mended = mended + call('DEL', unpack(bound)) end
end

-- Returns the next cursor.
local function mend_scanned_keys(cursor)
  local found = redis.pcall('SCAN', cursor, 'MATCH', (string.gsub(P, '[%*%?%[%]\\]', '\\%0')) .. '*', 'COUNT', SCAN_COUNT)
  -- The user may not run SCAN: then only the tasks in `active` are checked.
  if found.err then return 'c:' end
  local start = P .. 'task:'
  for _, key in ipairs(found[2]) do
    if string.sub(key, 1, #start) == start then
      check_record(string.sub(key, #start + 1))
    else
      check_part(key)
      check_index_key(key)
      check_binding(key)
    end
  end
  return found[1] == '0' and 'h:0' or 's:' .. found[1]
end

-- Removes states of tasks whose records are gone. Returns the next cursor.
local function mend_states(cursor)
  local found = redis.pcall('HSCAN', Q .. 'states', cursor, 'COUNT', SCAN_COUNT)
  if found.err then return 'c:' end
  for i = 1, #found[2], 2 do
    local id = found[2][i]
    if call('EXISTS', P .. 'task:' .. id) == 0 then mended = mended + call('HDEL', Q .. 'states', id) end
  end
  return found[1] == '0' and 'c:' or 'h:' .. found[1]
end
