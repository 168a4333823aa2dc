#!lua flags=no-writes
-- list: tasks that match a filter: unfinished ones, then finished ones, each newest first.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] status or ''  [3] user or ''  [4] tenant or ''  [5] most
-- ARGV[6] index in which the previous page ended or ''  [7] its last score  [8] its last task_id
-- ARGV[9] error code or ''  [10] created then or later (ms) or ''  [11] created earlier (ms) or ''  [12] 1: only unfinished tasks
-- Returns { records, { index, score, task_id } where more may follow, or false }
-- Atomic because a task that ends meanwhile must not be missed.
--- @include "base"
--- @include "ref"
local status, user, tenant, most, index, score, last = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local code, after, before, is_unfinished = ARGV[9], tonumber(ARGV[10]) or -math.huge, tonumber(ARGV[11]) or math.huge, ARGV[12] == '1'
local PAGE, MAX_READ, MAX_BYTES = 100, RULES.MAX_LISTED, RULES.MAX_LISTED_BYTES
local FINISHED = { COMPLETED = true, FAILED = true, CANCELLED = true }

-- Whether a task has failed with the code. Other texts of its state cannot look like it: their quotes are escaped.
local function has_failed_with(record)
  return string.find(string.sub(record, 1, string.find(record, '\n', 1, true)), '"code":"' .. code .. '"', 1, true) ~= nil
end

-- Which of the tasks match, as a set, from some words of their records: the others are never read whole.
local function find_matching(ids)
  local keys, matching = {}, {}
  for i, id in ipairs(ids) do keys[i] = P .. 'task:' .. id end
  local records = #ids > 0 and call('MGET', unpack(keys)) or {}
  local states = #ids > 0 and status ~= '' and not FINISHED[status] and call('HMGET', Q .. 'states', unpack(ids)) or {}
  for i, id in ipairs(ids) do
    local ref, ended_as, its_user, its_tenant = to_ref(id, records[i])
    local its_status = ended_as or (states[i] and string.match(states[i], '^%d+ (%u+)')) or 'PENDING'
    local created = ref and tonumber(ref[2])
    matching[id] = ref and (status == '' or its_status == status) and (user == '' or its_user == user) and (tenant == '' or its_tenant == tenant) and
      created >= after and created < before and (code == '' or has_failed_with(records[i]))
  end
  return matching
end

-- The rank at which the page begins in an index.
local function first_rank(key)
  -- `active` is in the order of creation: later tasks are skipped.
  if index ~= key then return key == 'active' and before < math.huge and call('ZCOUNT', Q .. key, digits[before], '+inf') or 0 end
  local rank = call('ZREVRANK', Q .. key, last)
  -- If the last task has left the index, tasks with its score may be listed twice rather than missed.
  return rank and rank + 1 or call('ZCOUNT', Q .. key, '(' .. score, '+inf')
end

local records, bytes, looked, reached = {}, 0, 0, false
for _, key in ipairs({ 'active', 'finished' }) do
  local wanted = (status == '' or (FINISHED[status] or false) == (key == 'finished')) and not (is_unfinished and key == 'finished')
  local from = first_rank(key)
  while wanted and not (index == 'finished' and key == 'active') do
    local page = call('ZREVRANGE', Q .. key, from, from + PAGE - 1, 'WITHSCORES')
    local ids = {}
    for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
    local matching = find_matching(ids)
    for i = 1, #page, 2 do
      local known = matching[page[i]] and task_reply(page[i])
      if looked == MAX_READ or (known and (#records == most or bytes >= MAX_BYTES)) then return { records, reached } end
      records[#records + 1] = known or nil
      bytes = bytes + (known and reply_bytes(known) or 0)
      -- A cursor must not point to a member that another client has written.
      if #page[i] == 36 and string.find(page[i + 1], '^%d+$') then looked, reached = looked + 1, { key, page[i + 1], page[i] } end
    end
    -- All that follow were created even earlier.
    if #page < 2 * PAGE or (key == 'active' and tonumber(page[#page]) < after) then break end
    from = from + PAGE
  end
end
return { records, false }
