// Generated from lua/*.lua by scripts/generate-lua.js (npm run lua): change those, not this.

/** What a script does by itself. */
export const entries: Readonly<Record<'access' | 'batch' | 'cancel' | 'cancelAll' | 'checkpoint' | 'claim' | 'cleanup' | 'contents' | 'ended' | 'enqueue' | 'extend' | 'failUnreadable' | 'history' | 'historyAdd' | 'inspect' | 'list' | 'mend' | 'message' | 'pause' | 'probe' | 'progress' | 'read' | 'register' | 'settle' | 'settleAndClaim' | 'snapshot' | 'stats' | 'unregister' | 'workers', string>> = {
  'access': `#!lua flags=no-writes
local refused = {}
for i = 1, #ARGV, 3 do
  local command, first, other = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if not redis.acl_check_cmd(command, first, other, other, other) then refused[#refused + 1] = command end
end
return refused`,
  'batch': `#!lua flags=no-writes
--- @include "base"
--- @include "ref"
local user, task_ids = unpack(call('HMGET', Q .. 'batch:' .. ARGV[2], 'user', 'ids'))
if not user or not task_ids then return { false } end
local ids, refs = {}, {}
for id in string.gmatch(task_ids, '%S+') do ids[#ids + 1] = id end
each_ref(ids, function(ref) refs[#refs + 1] = ref end)
if #refs == 0 then return { false } end
return { user, refs }`,
  'cancel': `#!lua flags=allow-oom
--- @include "lifecycle"
local id = ARGV[2]
if not (find_kept(id) and cancel_task(id)) then return { task_reply(id), {}, 0 } end
local has_deferred = run_deferred(false)
commit()
return { task_reply(id), ended_besides({}), has_deferred and 1 or 0 }`,
  'cancelAll': `#!lua flags=allow-oom
--- @include "lifecycle"
local ids = { unpack(ARGV, 2) }
fetch(ids)
for _, id in ipairs(ids) do cancel_task(id) end
run_deferred(false)
commit()
return ended_besides({})`,
  'checkpoint': `#!lua
--- @include "base"
local id, name, value, max_bytes = ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])
local task, key = find(id), Q .. 'checkpoints:' .. id
if not task or task.state.lease ~= tonumber(ARGV[3]) or task.state.status ~= 'PROCESSING' then return 'stale' end
local bytes = #value
for i, text in ipairs(call('HGETALL', key)) do
  if i % 2 == 0 then bytes = bytes + #text end
end
bytes = bytes - call('HSTRLEN', key, name)
if max_bytes > 0 and bytes > max_bytes then return 'too_large' end
call('HSET', key, name, value)
return 'ok'`,
  'claim': `#!lua
--- @include "plain-exchange"
local keys_in_use = call('EXISTS', last_claim_key, Q .. 'waiting', Q .. 'processing', Q .. 'deferred', Q .. 'delayed',
  queue('requeued'), queue('high'), queue('normal'), queue('low'))
if keys_in_use == 0 then return { {}, {}, -1, digits[now], 0, {} } end
local _, claimed = exchange_plain()
if claimed then return claimed end
--- @include "lifecycle"
--- @include "clock-set-back"
--- @include "claim-tasks"
return claim_tasks({}, read_claim_state())`,
  'cleanup': `#!lua flags=allow-oom
--- @include "base"
local ids = call('ZRANGEBYSCORE', Q .. 'finished', '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
fetch(ids)
for _, id in ipairs(ids) do
  local task = find(id)
  local until_then = task and expires_at(task)
  if until_then and until_then > now then
    call('ZADD', Q .. 'finished', digits[until_then], id)
  else
    if not task or until_then then
      if task and task.state.chart ~= '' then call('DEL', P .. 'chart:' .. task.state.chart) end
      call('DEL', P .. 'task:' .. id, request_key(id), Q .. 'attempts:' .. id)
    end
    call('ZREM', Q .. 'finished', id)
  end
end
return #ids`,
  'contents': `#!lua flags=no-writes
--- @include "start"
local contents, room = {}, tonumber(ARGV[2])
for i = 3, #ARGV do
  local key = P .. 'chart:' .. ARGV[i]
  local bytes = call('STRLEN', key)
  if bytes == 0 then
    contents[#contents + 1] = false
  elseif bytes <= room then
    room = room - bytes
    contents[#contents + 1] = call('GET', key)
  else
    contents[#contents + 1] = bytes
    break
  end
end
return contents`,
  'ended': `#!lua flags=no-writes
--- @include "base"
--- @include "message-index"
--- @include "ref"
local index = P .. 'message_tasks:' .. ARGV[2] .. ':' .. ARGV[3]
local since, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local PAGE, MAX_READ = 100, 2000
local ended = {}
for offset = 0, MAX_READ - PAGE, PAGE do
  local ids = call('ZREVRANGEBYSCORE', index, LAST, string.format('%.0f', math.max(1, since)), 'LIMIT', offset, PAGE)
  each_ref(ids, function(ref)
    if tonumber(ref[3] or 0) >= since then ended[#ended + 1] = ref end
    return #ended == limit
  end)
  if #ids < PAGE or #ended == limit then break end
end
return { ended, tostring(now) }`,
  'enqueue': `#!lua
--- @include "plain-enqueue"
local plain = enqueue_plain()
if plain then return plain end
--- @include "base"
--- @include "queue"
--- @include "index-ended"
--- @include "is-superseded"
--- @include "duplicates"
--- @include "dependencies"
--- @include "find-superseded"
--- @include "limits"
--- @include "create"
--- @include "bind"
--- @include "commit"
local function cancel_older(older, owners, kept)
--- @include "lifecycle"
  fetch(older)
  for _, id in ipairs(older) do cancel_task(id) end
  for _, owner in ipairs(owners) do supersede(owner, kept) end
  local has_deferred = run_deferred(#owners > 0 or call('EXISTS', Q .. 'deferred') == 1)
  return ended_besides, has_deferred and 1 or 0
end
local room = 2 ^ 20
local function known_task(id)
  if room <= 0 then return find_kept(id) and id end
  local known = task_reply(id)
  if known then room = room - reply_bytes(known) end
  return known
end
local function to_request(i)
  local waiting, ready, scheduled, stores_content, timeout, weight = string.match(ARGV[i + 2], '(%d+) (%d+) (%d+) (%d) (%d+) (%d+)')
  local key, body = string.match(ARGV[i + 3], '(%S+) (%S+)')
  local request = {
    user = ARGV[i], tenant = ARGV[i + 1], key = key or '', body = body or '', batch = ARGV[i + 4], stores_content = stores_content == '1', drafts = {},
    limits = { waiting = tonumber(waiting), ready = tonumber(ready), scheduled = tonumber(scheduled) },
    terms = { tenant = ARGV[i + 1], queue_timeout = timeout ~= '0' and tonumber(timeout) or nil, weight = tonumber(weight) }
  }
  local n = tonumber(ARGV[i + 5])
  i = i + PER_REQUEST
  for d = 1, n do
    local options = ARGV[i + 4] == '' and {} or cjson.decode(ARGV[i + 4])
    local message, priority = string.match(ARGV[i + 1], '^(%S+) (%l+)')
    request.drafts[d] = {
      id = ARGV[i], message = message, user = request.user, head = ARGV[i + 1], dedup_key = ARGV[i + 2], force = options.force, request = ARGV[i + 3],
      chart_check = options.chart_check or '', chart_exists = options.chart_exists, priority = priority, run_at = options.run_at or 0, supersede = options.supersede,
      needs = options.needs or '', retry_of = options.retry_of or '', extras = options.extras or {}
    }
    i = i + PER_DRAFT
  end
  return request, i
end
local function find_repeated(request)
  local drafts, batch, key = request.drafts, request.batch, request.key
  local known_ids = drafts[1].known and drafts[1].id
  if batch ~= '' then known_ids = call('HGET', Q .. 'batch:' .. batch, 'ids') end
  if known_ids then
    return function()
      local repeated = {}
      for id in string.gmatch(known_ids, '%S+') do
        local task = find(id)
        local outcome = task and task.state.completed and 'chart_exists' or 'already_active'
        if id == drafts[#repeated + 1].id then outcome = 'queued' end
        repeated[#repeated + 1] = { outcome, known_task(id) }
      end
      return { 'accepted', repeated, {} }
    end
  end
  local answer = key ~= '' and call('GET', Q .. 'idempotency:' .. key)
  if not answer then return end
  local bound, ids = string.sub(answer, 1, 36), {}
  for id in string.gmatch(call('HGET', Q .. 'batch:' .. bound, 'ids') or bound, '%S+') do
    if find_kept(id) then ids[#ids + 1] = id end
  end
  if #ids == 0 then return end
  if string.sub(answer, 37) ~= request.body then return { 'key_reused' } end
  return function()
    local found = {}
    for n, id in ipairs(ids) do found[n] = { 'replayed', known_task(id) } end
    return { 'replayed', found, {}, bound }
  end
end
local function accept(request, any_superseded)
  local drafts, user, tenant, batch, key = request.drafts, request.user, request.tenant, request.batch, request.key
  local repeated = find_repeated(request)
  if repeated then return repeated end
  local by_id, new, unchecked = match_duplicates(drafts, request.stores_content, any_superseded)
  if unchecked then return unchecked end
  local refusal = batch ~= '' and find_too_many_batches(drafts) or resolve_dependencies(by_id, new, user, any_superseded)
  if refusal then return refusal end
  local older, owners, kept = find_superseded(drafts, user)
  refusal = find_exceeded_limit(new, older, owners, kept, tenant, request.limits)
  if refusal then return refusal end
  local cancelled, deferred = nil, 0
  if #older + #owners > 0 then cancelled, deferred = cancel_older(older, owners, kept) end
  for _, draft in ipairs(new) do create(draft, user, tenant, request.terms, batch, key, any_superseded or #owners > 0) end
  if #new > 0 then notify_workers() end
  bind(drafts, user, batch, key, request.body)
  return function()
    local answers = {}
    for i, draft in ipairs(drafts) do
      if draft.is_new then
        local place = draft.step == 'queued' and position(draft.id, draft.priority) or false
        answers[i] = { 'queued', false, digits[now], draft.step, digits[draft.step_at], place, table.concat(draft.deps, ' ') }
      else
        answers[i] = { draft.outcome, known_task(draft.becomes) }
      end
    end
    return { 'accepted', answers, cancelled and cancelled({}) or {}, false, deferred }
  end
end
local requests, names, i = {}, { Q .. 'superseded' }, 2
while i <= #ARGV do
  requests[#requests + 1], i = to_request(i)
  for _, draft in ipairs(requests[#requests].drafts) do names[#names + 1] = P .. 'task:' .. draft.id end
end
local any_superseded = false
if call('EXISTS', unpack(names)) > 0 then
  any_superseded = call('EXISTS', Q .. 'superseded') == 1
  for _, request in ipairs(requests) do
    for _, draft in ipairs(request.drafts) do draft.known = call('EXISTS', P .. 'task:' .. draft.id) == 1 end
  end
end
local answers = {}
for n, request in ipairs(requests) do answers[n] = accept(request, any_superseded) end
if #new_values > 0 then write_new_tasks() end
commit()
for n, answer in ipairs(answers) do
  if type(answer) == 'function' then answers[n] = answer() end
end
return answers`,
  'extend': `#!lua flags=allow-oom
--- @include "base"
--- @include "clock-set-back"
local answers, ids, scores = {}, {}, {}
for i = 3, #ARGV - 1, 2 do ids[#ids + 1] = ARGV[i] end
fetch(ids)
for i, id in ipairs(ids) do
  local task, lease = find(id), tonumber(ARGV[2 * i + 2])
  local state = task and task.state.lease == lease and task.state
  answers[i] = 'stale'
  if state and state.status == 'PROCESSING' then
    answers[i], scores[#scores + 1], scores[#scores + 2] = 'ok', now + ARGV[2], id
  elseif state and state.status == 'CANCELLED' then
    answers[i] = 'cancelled'
  end
end
if #scores > 0 then call('ZADD', Q .. 'processing', unpack(scores)) end
return { answers, tostring(now) }`,
  'failUnreadable': `#!lua flags=allow-oom
--- @include "lifecycle"
local MAX_READ = 1000
local unreadable = {}
for i = 3, #ARGV do unreadable[ARGV[i]] = true end
local function is_readable(task)
  local text = task.has_request_key and (call('GET', request_key(task.id)) or '') or string.sub(task.record, task.request_start)
  local rest = string.match(text, COMPACT .. '()')
  if rest then return decode_json('{"":0' .. string.sub(text, rest - 1)) end
  local request = decode_json(text)
  return request and type(request.task_id) == 'string' and type(request.message_id) == 'string' and type(request.user_id) == 'string'
end
local ids = call('ZREVRANGE', Q .. 'processing', 0, MAX_READ - 1)
fetch(ids)
for _, id in ipairs(ids) do
  local task = find(id)
  if task and task.state.status == 'PROCESSING' and task.state.claim_id == ARGV[2] and unreadable[task.record] and not is_readable(task) then
    task.state.attempt = task.state.attempt - 1
    fail_lost(task, false)
  end
end
run_deferred(false)
commit()
return ended_besides({})`,
  'history': `#!lua flags=no-writes
--- @include "start"
--- @include "history"
local first = tonumber(ARGV[2])
local function read(kind)
  local found = {}
  for back = first, first + tonumber(ARGV[3]) - 1 do
    for _, text in ipairs(call('HGETALL', hour_key(kind, now - back * HOUR))) do found[#found + 1] = text end
  end
  return found
end
return { tostring(now), read('history'), ARGV[4] == '1' and read('failed') or {} }`,
  'historyAdd': `#!lua
--- @include "start"
--- @include "history"
local MAX_CODES, MAX_LATEST = RULES.MAX_CODES, RULES.MAX_LATEST
local REPEATABLE_MS = 3600000
local id_key = Q .. 'counted:' .. ARGV[2]
if call('GET', id_key) == ARGV[3] then return 0 end
local function each_word(text, visit)
  for name, value in string.gmatch(text, '([^ =]+)=([^ =]+)') do visit(name, value) end
end
local function to_text(values)
  local words = {}
  for name, value in pairs(values) do words[#words + 1] = name .. '=' .. value end
  return table.concat(words, ' ')
end
local function add_counts(known, added)
  local values, codes, renamed = {}, 0, {}
  each_word(known, function(name, value)
    local number = tonumber(value)
    if number and is_number(number) then
      values[name] = digits[number]
      if string.find(name, '^failed:%u') then codes = codes + 1 end
    end
  end)
  each_word(added, function(name, value)
    local code = string.match(name, '^failed:(%u.*)')
    if code and not values[name] then
      codes = codes + 1
      if codes > MAX_CODES then name, renamed[code] = 'failed:other', 'other' end
    end
    values[name] = digits[(tonumber(values[name]) or 0) + tonumber(value)]
  end)
  return to_text(values), renamed
end
local function merge_latest(known, added)
  local latest, times = {}, {}
  for id, at in string.gmatch(added .. ';' .. known, '([%x-]+),(%d+)') do
    if not times[id] then latest[#latest + 1] = id end
    times[id] = math.max(times[id] or 0, tonumber(at))
  end
  table.sort(latest, function(a, b) return times[a] > times[b] end)
  local entries = {}
  for i = 1, math.min(#latest, MAX_LATEST) do entries[i] = latest[i] .. ',' .. digits[times[latest[i]]] end
  return table.concat(entries, ';')
end
local function add_latest(known, added, renamed)
  local values = {}
  each_word(known, function(code, entries) values[code] = entries end)
  each_word(added, function(code, entries)
    code = renamed[code] or code
    values[code] = merge_latest(values[code] or '', entries)
  end)
  return to_text(values)
end
for i = 5, #ARGV, 3 do
  local minute, counts, latest = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key, text, renamed = hour_key('history', tonumber(minute)), nil, nil
  text, renamed = add_counts(call('HGET', key, minute) or '', counts)
  call('HSET', key, minute, text)
  call('PEXPIRE', key, ARGV[4])
  if latest ~= '' then
    key = hour_key('failed', tonumber(minute))
    call('HSET', key, minute, add_latest(call('HGET', key, minute) or '', latest, renamed))
    call('PEXPIRE', key, ARGV[4])
  end
end
call('SET', id_key, ARGV[3], 'PX', digits[REPEATABLE_MS])
return 1`,
  'inspect': `#!lua flags=no-writes
--- @include "base"
local found = task_reply(ARGV[2])
return { found, found and call('LRANGE', Q .. 'attempts:' .. ARGV[2], 0, -1) or nil }`,
  'list': `#!lua flags=no-writes
--- @include "base"
--- @include "ref"
local status, user, tenant, most, index, score, last = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local code, after, before, is_unfinished = ARGV[9], tonumber(ARGV[10]) or -math.huge, tonumber(ARGV[11]) or math.huge, ARGV[12] == '1'
local PAGE, MAX_READ, MAX_BYTES = 100, RULES.MAX_LISTED, RULES.MAX_LISTED_BYTES
local FINISHED = { COMPLETED = true, FAILED = true, CANCELLED = true }
local function has_failed_with(record)
  return string.find(string.sub(record, 1, string.find(record, '\\n', 1, true)), '"code":"' .. code .. '"', 1, true) ~= nil
end
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
local function first_rank(key)
  if index ~= key then return key == 'active' and before < math.huge and call('ZCOUNT', Q .. key, digits[before], '+inf') or 0 end
  local rank = call('ZREVRANK', Q .. key, last)
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
      if #page[i] == 36 and string.find(page[i + 1], '^%d+$') then looked, reached = looked + 1, { key, page[i + 1], page[i] } end
    end
    if #page < 2 * PAGE or (key == 'active' and tonumber(page[#page]) < after) then break end
    from = from + PAGE
  end
end
return { records, false }`,
  'mend': `#!lua flags=allow-oom
--- @include "lifecycle"
--- @include "counts"
--- @include "mend-tasks"
--- @include "mend-keys"
local function mend_turns()
  for _, priority in ipairs(PRIORITIES) do
    local key = Q .. 'turns:' .. priority
    local known = call('HGETALL', key)
    for i = 1, #known, 2 do
      local field, turn = known[i], tonumber(known[i + 1])
      local mark = string.sub(field, 1, 1)
      local is_mark = mark == '+' or mark == '='
      local has_waiting = counted('waiting', is_mark and string.sub(field, 2) or field) > 0
      if not has_waiting or (not is_mark and not (turn and not is_implausible_turn(priority, field, turn))) then
        call('HDEL', key, field)
        count_mended()
      end
    end
  end
end
local function has_sound_counts()
  local unfinished, running = call('ZCARD', Q .. 'active'), call('ZCARD', Q .. 'processing')
  return counted('waiting', '') + counted('running', '') == unfinished and counted('running', '') == running
end
local wrong, cursor = 0, ARGV[2]
if not string.find(cursor, '^%l:%d*$') then wrong, cursor = has_sound_counts() and 0 or 1, 'a:0' end
local from = string.match(cursor, '^a:(%d*)$')
if from then cursor = mend_active(tonumber(from)) end
from = string.match(cursor, '^s:(%d*)$')
if from then cursor = mend_scanned_keys(from) end
from = string.match(cursor, '^h:(%d*)$')
if from then cursor = mend_states(from) end
if string.find(cursor, '^c:') then
  repair_counts()
  mended = mended + miscounts
  mend_turns()
  if mend_shares() then count_mended() end
  if count_queues() > 0 then notify_workers() end
  cursor = ''
end
if next(deferred_entries) then
  call('SET', Q .. 'deferred', 1)
  notify_workers()
elseif call('EXISTS', Q .. 'unnotified', Q .. 'superseded') > 0 then
  call('SET', Q .. 'deferred', 1)
end
commit()
return { cursor, mended, wrong }`,
  'message': `#!lua flags=no-writes
--- @include "base"
--- @include "message-index"
--- @include "ref"
local index = P .. 'message_tasks:' .. ARGV[2] .. ':' .. ARGV[3]
local limit = tonumber(ARGV[5])
local PAGE, MAX_READ = 100, 1000
local active = {}
each_ref(call('ZRANGEBYSCORE', index, FIRST, '(0', 'LIMIT', 0, limit), function(ref) active[#active + 1] = ref end)
if ARGV[6] then return { active } end
local found = { COMPLETED = {}, FAILED = {} }
local offset = 0
while offset < MAX_READ and (#found.COMPLETED < limit or #found.FAILED < limit) do
  local ids = call('ZREVRANGEBYSCORE', index, LAST, '(0', 'LIMIT', offset, PAGE)
  each_ref(ids, function(ref, status)
    local list = found[status]
    if list and #list < limit then list[#list + 1] = ref end
  end)
  if #ids < PAGE then break end
  offset = offset + PAGE
end
local others = {}
if ARGV[4] ~= '' then
  local ids = call('ZREVRANGEBYSCORE', P .. 'message_charts:' .. ARGV[2] .. ':' .. ARGV[4], '+inf', '(0', 'LIMIT', 0, 2 * limit)
  each_ref(ids, function(ref, _, user)
    if user ~= ARGV[3] then others[#others + 1] = ref end
    return #others == limit
  end)
end
return { active, found.COMPLETED, found.FAILED, others, tostring(now) }`,
  'pause': `#!lua flags=allow-oom
--- @include "base"
--- @include "queue"
--- @include "pop"
--- @include "commit"
if ARGV[2] == '1' then
  call('SET', Q .. 'paused', now)
elseif call('DEL', Q .. 'paused') == 1 and count_queues() > 0 then
  notify_workers()
end
commit()
return 1`,
  'probe': `#!lua
local key = KEYS[1] .. 'probe'
redis.call('SET', key, 1, 'PX', 1000)
return redis.call('DEL', key)`,
  'progress': `#!lua
--- @include "base"
--- @include "queue"
--- @include "commit"
local MAX_STEPS = RULES.MAX_STEPS
local function put_steps(steps, first, last)
  local moved, at = false, {}
  for i = 1, #steps, 2 do at[steps[i]] = i + 1 end
  for j = first, last, 2 do
    local name, percent = ARGV[j], tonumber(ARGV[j + 1])
    if not at[name] and #steps < 2 * MAX_STEPS then
      at[name], steps[#steps + 1], steps[#steps + 2] = #steps + 2, name, percent
      moved = true
    elseif at[name] and steps[at[name]] ~= percent then
      steps[at[name]] = percent
      moved = true
    end
  end
  return moved
end
local function report(task, progress, step, first, last)
  local state = task.state
  local reached, steps = math.max(progress or 0, state.progress), extras_of(state).steps or {}
  local moved = put_steps(steps, first, last)
  if #steps > 0 then extras_of(state).steps = steps end
  local begins = step ~= '' and step ~= state.step
  if not (moved or begins or reached > state.progress) then return end
  state.progress, state.progress_at = reached, now
  if begins then
    state.step, state.step_at, state.step_from = step, now, reached
    if select(2, string.gsub(state.trace, ';', '')) < MAX_STEPS - 1 then
      state.trace = state.trace .. ';' .. step .. ',' .. digits[now] .. ',' .. digits[reached]
    end
  end
  announce(task)
end
local ids, i = {}, 2
while i <= #ARGV do
  ids[#ids + 1] = ARGV[i]
  i = i + 5 + 2 * ARGV[i + 4]
end
fetch(ids)
local answers = {}
i = 2
while i <= #ARGV do
  local task, n = find(ARGV[i]), tonumber(ARGV[i + 4])
  local current = task and task.state.lease == tonumber(ARGV[i + 1]) and task.state.status == 'PROCESSING'
  if current then report(task, tonumber(ARGV[i + 2]), to_word(ARGV[i + 3]), i + 5, i + 4 + 2 * n) end
  answers[#answers + 1] = current and 1 or 0
  i = i + 5 + 2 * n
end
commit()
return answers`,
  'read': `#!lua flags=no-writes
--- @include "base"
local ids, found, room = { unpack(ARGV, 3) }, {}, tonumber(ARGV[2])
fetch(ids)
for i, id in ipairs(ids) do
  found[i] = task_reply(id)
  if i < #ids and found[i] then
    room = room - reply_bytes(found[i])
    if room <= 0 then break end
  end
end
return found`,
  'register': `#!lua flags=allow-oom
--- @include "start"
local index_ttl = tonumber(ARGV[3])
for i = 5, #ARGV, 2 do
  call('SET', Q .. 'worker:' .. ARGV[i], digits[now] .. ' ' .. ARGV[i + 1], 'PX', ARGV[2])
  if index_ttl > 0 then call('ZADD', Q .. 'workers', digits[now + index_ttl], ARGV[i]) end
end
if index_ttl > 0 then
  call('ZREMRANGEBYSCORE', Q .. 'workers', '-inf', digits[now])
  call('PEXPIRE', Q .. 'workers', ARGV[3])
end
if ARGV[4] ~= '' then call('PUBLISH', ARGV[4], '') end
return 1`,
  'settle': `#!lua flags=allow-oom
--- @include "settle-attempts"`,
  'settleAndClaim': `#!lua
--- @include "plain-exchange"
local settled, claimed = exchange_plain()
if settled then return { settled, claimed } end
--- @include "settle-attempts"`,
  'snapshot': `#!lua flags=no-writes
--- @include "base"
local MAX_FOUND, MAX_READ, PAGE = RULES.MAX_IN_SNAPSHOT, RULES.MAX_SNAPSHOT_SEARCHED, 100
local waits_since
for _, name in ipairs(QUEUES) do
  local head = find(call('ZRANGE', queue(name), 0, 0)[1] or '')
  if head and (not waits_since or head.state.step_at < waits_since) then waits_since = head.state.step_at end
end
local RUNNING, COMPLETED = '^%d+ PROCESSING %d+ (%S+) (%d+)', '^%d+ COMPLETED %d+ %S+ %d+ %d* %d* %d+ %d+ %d* (%d+) %S* %S* %S* %l* (%S*)'
local running, ids = {}, call('ZRANGE', Q .. 'processing', 0, MAX_FOUND - 1)
for _, text in ipairs(#ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}) do
  local step, step_at = string.match(text or '', RUNNING)
  if step then running[#running + 1] = { step, step_at } end
end
local completed = {}
for from = 0, MAX_READ - 1, PAGE do
  ids = call('ZREVRANGEBYSCORE', Q .. 'finished', '+inf', '(' .. digits[now], 'LIMIT', from, PAGE)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = P .. 'task:' .. id end
  for _, record in ipairs(#ids > 0 and call('MGET', unpack(keys)) or {}) do
    local completed_at, trace = string.match(record or '', COMPLETED)
    if completed_at and #completed < MAX_FOUND then completed[#completed + 1] = { trace, completed_at } end
  end
  if #completed == MAX_FOUND or #ids < PAGE then break end
end
return { tostring(now), call('EXISTS', Q .. 'paused'), waits_since and tostring(waits_since) or false, call('ZCARD', Q .. 'processing'), running, completed }`,
  'stats': `#!lua flags=no-writes
--- @include "base"
local oldest = false
for _, name in ipairs(QUEUES) do
  local head = find(call('ZRANGE', queue(name), 0, 0)[1] or '')
  if head and (not oldest or head.terms.created < oldest) then oldest = head.terms.created end
end
local waiting = tonumber(call('HGET', Q .. 'waiting', ''))
if waiting and not is_number(waiting) then waiting = nil end
return {
  waiting or call('ZCARD', Q .. 'active') - call('ZCARD', Q .. 'processing'),
  call('ZCARD', Q .. 'processing'),
  call('ZCARD', Q .. 'delayed'),
  oldest and tostring(oldest),
  tostring(now),
  call('EXISTS', Q .. 'paused')
}`,
  'unregister': `#!lua flags=allow-oom
--- @include "start"
call('DEL', Q .. 'worker:' .. ARGV[2])
call('ZREM', Q .. 'workers', ARGV[2])
return 1`,
  'workers': `#!lua flags=no-writes
--- @include "start"
local PAGE = 500
local most, from = tonumber(ARGV[2]), tonumber(ARGV[3])
local function values_of(kind, ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = kind .. id end
  return #keys > 0 and call('MGET', unpack(keys)) or {}
end
local workers, members = {}, most > 0 and call('ZREVRANGE', Q .. 'workers', 0, most) or {}
for i, text in ipairs(values_of(Q .. 'worker:', members)) do
  if text and i <= most then workers[#workers + 1] = text end
end
local RUNNING, MESSAGE = '^%d+ PROCESSING (%d+) (%S+) %d+ %d* %d* (%d+) %d+ %d* %d* %S* (%S*) %S* %l* [^, ]*,(%d+)', '^2 %d+ %S+ %d* %S+ (%S+)'
local running, ids = {}, call('ZRANGE', Q .. 'processing', from, from + PAGE - 1)
local states = #ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}
for i, record in ipairs(values_of(P .. 'task:', ids)) do
  local progress, step, attempt, worker, began = string.match(states[i] or '', RUNNING)
  local first = progress and record and string.find(record, '\\n', 1, true)
  local message = first and string.match(record, MESSAGE, first + 1)
  if message then running[#running + 1] = { ids[i], message, worker, attempt, step, progress, began } end
end
return { tostring(now), workers, #members > most and 1 or 0, running, #ids == PAGE and from + PAGE or -1 }`
}

/** What scripts include, by its name. */
export const fragments: Readonly<Record<string, string>> = {
  'attempts': `local function lost_workers(task, attempt)
  local extras = task.state.extras
  local losses = extras and extras.losses
  if losses then return { extras.lost_worker or '', losses, (losses > 1 or attempt >= task.terms.max) and 1 or 0 } end
end
local function read_request(task)
  if not task.has_request_key then return is_request(task.record, task.request_start), nil end
  local request = call('GET', request_key(task.id))
  return is_request(request, 1), request or nil
end
local function claimed_task(task, lost, request)
  local bytes = #task.record + #(request or '')
  if task.state.lease == 1 then return { task, false, false, request }, bytes end
  local checkpoints = call('HGETALL', Q .. 'checkpoints:' .. task.id)
  for _, text in ipairs(checkpoints) do bytes = bytes + #text end
  return { task, checkpoints, lost or false, request }, bytes
end
local function start_attempt(task, step)
  local state = task.state
  if state.lease == 0 and task.terms.queue_timeout then call('ZREM', Q .. 'deadlines', task.id) end
  count('waiting', task.terms.tenant, -1)
  count('running', task.terms.tenant, 1)
  lease_changes[task.id] = now + claim.lease_duration
  state.status, state.step, state.step_at, state.started = 'PROCESSING', step, now, state.started or now
  state.attempt, state.lease = state.attempt + 1, state.lease + 1
  state.worker, state.claim_id, state.settled_by, state.trace = claim.worker, claim.id, '', step .. ',' .. digits[now] .. ',0'
  announce(task)
end
local function cancel_if_superseded(task, queue_number, score)
  if not is_superseded(task.id, task.terms) then return false end
  local name = QUEUES[queue_number]
  flush_queues()
  call('ZADD', queue(name), string.format('%.17g', score), task.id)
  if STRIDE[name] then set_share(name, share(name) - STRIDE[name]) end
  return cancel_task(task.id)
end
local function count_running(tenant, cap)
  local known = counted('running', tenant)
  if known < cap or stored_counts.running[tenant] == 0 then return known end
  local all = call('ZCARD', Q .. 'processing')
  if stored_counts.running[tenant] > all then
    local ids, number = call('ZRANGE', Q .. 'processing', 0, MAX_ARGUMENTS - 1), 0
    fetch(ids)
    for _, id in ipairs(ids) do
      local task = find(id)
      if task and task.terms.tenant == tenant then number = number + 1 end
    end
    stored_counts.running[tenant] = number
    call('HSET', Q .. 'running', tenant, digits[number])
  end
  return counted('running', tenant)
end
local function task_for_place(task, queue_number, score, has_deferred)
  local id = claim.max_running > 0 and queue_number > 1 and pop_reserved(task.terms.tenant)
  local reserved = id and find(id)
  if not reserved or reserved.state.status ~= 'PENDING' then return task end
  if has_deferred and is_superseded(id, reserved.terms) and cancel_task(id) then return task end
  hold_at_cap(task.id, task.terms.tenant, queue_number, score)
  return reserved
end`,
  'base': `--- @include "start"
--- @include "position"
--- @include "tasks"
--- @include "task-reply"`,
  'bind': `local MAX_REFS = RULES.MAX_REFS
local function count_refs(id, field)
  local task = find(id)
  return task and #(extras_of(task.state)[field] or {}) or 0
end
local function find_too_many_batches(drafts)
  for _, draft in ipairs(drafts) do
    if draft.outcome == 'already_active' and count_refs(draft.becomes, 'batches') >= MAX_REFS then return { 'too_many_batches', draft.id } end
  end
end
local function add_ref(task, field, value)
  local extras = extras_of(task.state)
  local refs = extras[field] or {}
  for _, known in ipairs(refs) do
    if known == value then return false end
  end
  extras[field], refs[#refs + 1] = refs, value
  change(task)
  return true
end
local function bind(drafts, user, batch, key, body)
  if batch == '' and key == '' then return end
  local ids, unfinished, kept_until, is_over_limit = {}, 0, now, false
  for i, draft in ipairs(drafts) do
    local id = draft.becomes
    ids[i] = id
    if draft.is_new then
      unfinished = unfinished + 1
    elseif not draft.is_duplicate then
      local task = find(id)
      local until_then = expires_at(task)
      if until_then then kept_until = math.max(kept_until, until_then) end
      if batch == '' then
        if count_refs(id, 'keys') >= MAX_REFS then return end
        add_ref(task, 'keys', key)
        unfinished = until_then and 0 or 1
      elseif until_then and count_refs(id, 'batches') >= MAX_REFS then
        is_over_limit = true
      elseif add_ref(task, 'batches', batch) and not until_then then
        unfinished = unfinished + 1
      end
    end
  end
  local bound = {}
  if batch ~= '' then
    bound[1] = Q .. 'batch:' .. batch
    call('HSET', bound[1], 'user', user, 'ids', table.concat(ids, ' '), 'left', unfinished, 'key', key)
  end
  if key ~= '' then
    bound[#bound + 1] = Q .. 'idempotency:' .. key
    call('SET', bound[#bound], (batch ~= '' and batch or ids[1]) .. body)
  end
  if is_over_limit then kept_until = math.min(kept_until, now + 60000) end
  for _, name in ipairs(unfinished == 0 and bound or {}) do call('PEXPIRE', name, kept_until - now) end
end`,
  'call': `local protected_call, type = redis.pcall, type
local function call(...)
  local reply = protected_call(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  local command, key, field = ...
  local deleted
  if string.find(reply.err, 'WRONGTYPE', 1, true) then
    deleted = command ~= 'ZINTER' and protected_call('DEL', key)
  elseif command == 'HINCRBY' and (string.find(reply.err, 'not an integer', 1, true) or string.find(reply.err, 'overflow', 1, true)) then
    deleted = protected_call('HDEL', key, field)
  else
    error(reply)
  end
  if type(deleted) == 'number' then return redis.call(...) end
  if string.find(' GET HGET ZSCORE ZRANK ZREVRANK LINDEX ', ' ' .. command .. ' ', 1, true) then return false end
  if string.find(' STRLEN HSTRLEN ZCARD ZCOUNT LLEN ', ' ' .. command .. ' ', 1, true) then return 0 end
  return {}
end`,
  'cancel-task': `local function cancel_task(id)
  local task = find(id)
  local status = task and task.state.status
  if status == 'PENDING' then
    remove_waiting(task)
  elseif status == 'PROCESSING' then
    end_lease(task, 'cancel')
    call('PUBLISH', P .. 'cancelled', id)
  elseif status == 'LOST' then
    fail_lost(task)
    return true
  else
    return false
  end
  finish(task, 'CANCELLED')
  return true
end`,
  'capped': `local MAX_CAPPED_MOVES = RULES.MAX_CAPPED_MOVES
local readmitted = 0
local function hold_at_cap(id, tenant, queue_number, score)
  local turn = score >= 0 and score < MAX_TURN and math.floor(score) or 0
  call('ZADD', Q .. 'capped:' .. tenant, string.format('%.0f', queue_number * MAX_TURN + turn), id)
end
local function next_capped(key, tenant)
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not head[1] or tonumber(head[2]) < 2 * MAX_TURN then return head end
  local places = call('HINCRBY', Q .. 'turns:low', '+' .. tenant, 1) % RULES.CAPPED_CYCLE
  if places % RULES.CAPPED_NORMAL_EVERY > 0 then return head end
  local queue_number = places == 0 and 4 or 3
  local lower = call('ZRANGEBYSCORE', key, queue_number * MAX_TURN, string.format('(%.0f', (queue_number + 1) * MAX_TURN), 'WITHSCORES', 'LIMIT', 0, 1)
  if not lower[1] then return head end
  call('HSET', Q .. 'turns:low', '=' .. tenant, lower[1])
  return lower
end
local function pop_reserved(tenant)
  local id = call('HGET', Q .. 'turns:low', '=' .. tenant)
  if not id then return end
  flush_queues()
  call('HDEL', Q .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end
local function readmit_capped(tenant, cap)
  local key = Q .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  local room = cap == 0 and MAX_CAPPED_MOVES or math.max(1, (cap or 0) - counted('running', tenant))
  for _ = 1, math.max(1, math.min(room, MAX_CAPPED_MOVES - readmitted)) do
    readmitted = readmitted + 1
    local id, score = unpack(next_capped(key, tenant))
    if not id then break end
    call('ZREM', key, id)
    local name, turn = QUEUES[math.floor(score / MAX_TURN)], score % MAX_TURN
    local task = not name and find(id)
    if name then
      add_to_queue(name, id, digits[turn])
    elseif task and task.state.status == 'PENDING' then
      enqueue_task(id, task.terms)
    end
  end
  notify_workers()
end`,
  'changes': `local changed_tasks = {}
local lease_changes, active_changes, finished_changes = {}, {}, {}
local finished_ttl = 0
local keys_to_delete = {}
local hints = {}
local must_signal_work = false
local function change(task)
  task.hint = nil
  if not task.is_changed then
    task.is_changed, changed_tasks[#changed_tasks + 1] = true, task
  end
end
local function announce(task)
  task.state.version = task.state.version + 1
  change(task)
  task.hint = state_text(task.state)
  hints[#hints + 1], hints[#hints + 2] = task.id, task.hint
end
local function notify_workers() must_signal_work = true end`,
  'claim-tasks': `--- @include "due"
local claim = {
  worker = ARGV[2], id = ARGV[3], wanted = tonumber(ARGV[4]), lease_duration = tonumber(ARGV[5]), max_running = tonumber(ARGV[6]), beside = tonumber(ARGV[7])
}
local function read_claim_state() return unpack(call('MGET', last_claim_key, Q .. 'paused', Q .. 'deferred')) end
--- @include "attempts"
local function finish_call(claimed, own, has_deferred, expired_leases)
  commit()
  local replies = {}
  for i, one in ipairs(claimed) do
    local task, checkpoints, lost, request = unpack(one)
    replies[i] = (checkpoints or lost or request) and { task.record, task.stored_state, checkpoints, lost, request } or { task.record, task.stored_state }
  end
  return { replies, ended_besides(own), next_due(has_deferred), tostring(now), has_deferred and 1 or 0, expired_leases }
end
local function repeat_claim(own, last_claim, has_deferred)
  local claimed = {}
  local ids, ended_ids, expired_leases = string.match(string.sub(last_claim, #claim.id + 2), '([^;]*);([^;]*);?(.*)')
  if not ids then ids, ended_ids, expired_leases = '', '', '' end
  for id in string.gmatch(ids, '%S+') do
    local task = find(id)
    if task and task.state.status == 'PROCESSING' and task.state.claim_id == claim.id then
      local has_request, request = read_request(task)
      if has_request then claimed[#claimed + 1] = claimed_task(task, lost_workers(task, task.state.attempt), request) else fail_lost(task, false) end
    end
  end
  for id in string.gmatch(ended_ids, '%S+') do
    if not own[id] then ended[#ended + 1] = id end
  end
  return finish_call(claimed, own, run_deferred(false) or has_deferred, expired_leases ~= '' and decode_json(expired_leases) or {})
end
local MAX_SKIPPED = RULES.MAX_CAPPED_MOVES
local function claim_tasks(own, last_claim, paused, has_deferred)
  if last_claim and string.sub(last_claim, 1, #claim.id + 1) == claim.id .. ' ' then return repeat_claim(own, last_claim, has_deferred) end
  expire_leases(claim.max_running, has_deferred)
  expire_queue_timeouts(has_deferred)
  queue_delayed()
  has_deferred = run_deferred(has_deferred)
  local claimed, ids, skipped, bytes, queues_left = {}, {}, 0, 0, nil
  local wanted, is_capped = math.min(claim.wanted, MAX_CLAIMED), claim.max_running > 0
  while #claimed < wanted and skipped < MAX_SKIPPED and cascaded < 2 * MAX_CASCADE and bytes < MAX_CLAIMED_BYTES and not paused do
    local id, queue_number, score = pop(wanted - #claimed)
    if not id then
      queues_left = count_queues()
      if queues_left == 0 or not mend_shares() then break end
      queues_left, id, queue_number, score = nil, pop(wanted - #claimed)
      if not id then break end
    end
    local task = find(id)
    local status = task and task.state.status
    if status == 'LOST' or (status == 'PENDING' and queue_number == 1 and task.state.lease == 0) then
      fail_lost(task)
      skipped = skipped + 1
    elseif status ~= 'PENDING' then
      skipped = skipped + 1
    elseif has_deferred and cancel_if_superseded(task, queue_number, score) then
      skipped = skipped + 1
    elseif is_capped and count_running(task.terms.tenant, claim.max_running) >= claim.max_running then
      hold_at_cap(id, task.terms.tenant, queue_number, score)
      skipped = skipped + 1
    else
      task = task_for_place(task, queue_number, score, has_deferred)
      local lost = lost_workers(task, task.state.attempt + 1)
      local is_alone = lost and lost[3] == 1
      local has_request, request = read_request(task)
      if has_request then
        start_attempt(task, is_alone and claim.beside + #claimed > 0 and 'queued' or 'started')
        local size
        claimed[#claimed + 1], size = claimed_task(task, lost, request)
        ids[#ids + 1], bytes = task.id, bytes + size
        if is_alone then break end
      else
        fail_lost(task, false)
        skipped = skipped + 1
      end
    end
  end
  if #unnotified > 0 then has_deferred, queues_left = run_deferred(has_deferred), nil end
  if #claimed + #ended + #expired > 0 then
    local expired_leases = #expired > 0 and cjson.encode(expired) or ''
    call('SET', last_claim_key, claim.id .. ' ' .. table.concat(ids, ' ') .. ';' .. table.concat(ended, ' ') .. ';' .. expired_leases, 'PX', claim.lease_duration)
  end
  queues_left = queues_left or (paused and 0 or count_queues())
  if shares and queues_left > (shares.high and 1 or 0) + (shares.normal and 1 or 0) + (shares.low and 1 or 0) then mend_shares() end
  if not paused and queues_left > 0 then notify_workers() end
  return finish_call(claimed, own, has_deferred, expired)
end`,
  'clock-set-back': `--- @include "expiry-clock"
local MAX_SHIFTED = 1000
local function shift_times(key, by, is_shifted)
  local due = call('ZRANGE', Q .. key, 0, MAX_SHIFTED - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    if not is_shifted or is_shifted(due[i]) then call('ZADD', Q .. key, due[i + 1] - by, due[i]) end
  end
end
local function adjust_to_set_back_clock(by)
  local adjusted = tonumber(call('GET', Q .. 'set_back') or nil)
  if adjusted and math.abs(adjusted - by) <= CLOCK_TOLERANCE_MS then return end
  call('SET', Q .. 'set_back', by, 'PX', 600000)
  shift_times('processing', by)
  shift_times('deadlines', by)
  shift_times('delayed', by, function(id)
    local task = find(id)
    return task and task.state.step == 'retrying'
  end)
end
if expected_now and expected_now - now > CLOCK_TOLERANCE_MS then adjust_to_set_back_clock(expected_now - now) end`,
  'commit': `local function write_tasks()
  local texts, ended_ids = {}, {}
  for _, task in ipairs(changed_tasks) do
    local text = task.hint or state_text(task.state)
    if task.is_deleted then
      ended_ids[#ended_ids + 1] = task.id
    elseif task.state.completed then
      task.record, task.stored_state = text .. record_tail(task), false
      if task.had_ended then
        call('SET', task.key, task.record, 'KEEPTTL')
      else
        call('SET', task.key, task.record, 'PX', digits[task.terms.keep_task])
      end
      ended_ids[#ended_ids + 1] = task.id
    else
      task.stored_state, texts[#texts + 1], texts[#texts + 2] = text, task.id, text
    end
  end
  for i = 1, #texts, 2 * MAX_ARGUMENTS do call('HSET', Q .. 'states', unpack(texts, i, math.min(i + 2 * MAX_ARGUMENTS - 1, #texts))) end
  for i = 1, #ended_ids, MAX_ARGUMENTS do call('HDEL', Q .. 'states', unpack(ended_ids, i, math.min(i + MAX_ARGUMENTS - 1, #ended_ids))) end
  for i = 1, #hints, 2 do call('PUBLISH', P .. 'updates:' .. hints[i], hints[i + 1]) end
end
local function write_scores(key, scores)
  local added, removed = {}, {}
  for id, score in pairs(scores) do
    if score then
      added[#added + 1], added[#added + 2] = digits[score], id
    else
      removed[#removed + 1] = id
    end
    if #added + #removed >= MAX_ARGUMENTS then
      if #removed > 0 then call('ZREM', key, unpack(removed)) end
      if #added > 0 then call('ZADD', key, unpack(added)) end
      added, removed = {}, {}
    end
  end
  if #removed > 0 then call('ZREM', key, unpack(removed)) end
  if #added > 0 then call('ZADD', key, unpack(added)) end
end
local function commit()
  flush_queues()
  write_tasks()
  write_scores(Q .. 'processing', lease_changes)
  write_scores(Q .. 'active', active_changes)
  write_scores(Q .. 'finished', finished_changes)
  if finished_ttl > 0 then prolong(Q .. 'finished', digits[finished_ttl]) end
  write_tenants()
  for i = 1, #keys_to_delete, MAX_ARGUMENTS do call('DEL', unpack(keys_to_delete, i, math.min(i + MAX_ARGUMENTS - 1, #keys_to_delete))) end
  if must_signal_work then signal_work() end
end`,
  'counts': `local MAX_COUNTED = 2000
local TERMS_TENANT, STATE_STEP = '^2 %d+ (%S+) %d* %S+ %S+ %l+ %d+ %d+ %d+ %d+ %S+ (%S+) (%S+)', '^%d+ (%u+) %d+ (%S+)'
local function count_records()
  local ids = call('ZRANGE', Q .. 'active', 0, -1)
  local truth = { waiting = { [''] = 0 }, running = { [''] = 0 }, scheduled = { [''] = call('ZCARD', Q .. 'delayed') } }
  local has_lease = {}
  for _, id in ipairs(call('ZRANGE', Q .. 'processing', 0, MAX_COUNTED)) do has_lease[id] = true end
  local function tally(key, tenant, is_of_all)
    truth[key][tenant] = (truth[key][tenant] or 0) + 1
    if is_of_all then truth[key][''] = truth[key][''] + 1 end
  end
  for from = 1, #ids, MAX_ARGUMENTS do
    local names = {}
    for i = from, math.min(from + MAX_ARGUMENTS - 1, #ids) do names[#names + 1] = P .. 'task:' .. ids[i] end
    local states = call('HMGET', Q .. 'states', unpack(ids, from, from + #names - 1))
    for i, record in ipairs(call('MGET', unpack(names))) do
      local first = record and string.find(record, '\\n', 1, true)
      local first_step, tenant, user = string.match(record or '', TERMS_TENANT, (first or 0) + 1)
      tenant = tenant and to_tenant(tenant, user)
      local status, step = string.match(states[i] or '', STATE_STEP)
      if tenant and (status == 'PROCESSING' or has_lease[ids[from + i - 1]]) then
        tally('running', tenant, true)
      elseif tenant and first == 1 then
        step = status and step or first_step
        tally('waiting', tenant, true)
        if is_scheduled(step) then tally('scheduled', tenant, step == 'waiting_for_dependencies') end
      end
    end
  end
  return truth
end
local miscounts = 0
local function write_count(key, tenant, number)
  if number > 0 then call('HSET', Q .. key, tenant, digits[number]) else call('HDEL', Q .. key, tenant) end
  miscounts = miscounts + 1
end
local function repair_counts()
  local unfinished = call('ZCARD', Q .. 'active')
  local truth = unfinished <= MAX_COUNTED and count_records()
  for _, key in ipairs({ 'waiting', 'running', 'scheduled' }) do
    local known = call('HGETALL', Q .. key)
    for i = 1, #known, 2 do
      local tenant, number = known[i], tonumber(known[i + 1])
      local right = truth and (truth[key][tenant] or 0) or number
      if not truth and not (number and number > 0 and number <= unfinished) then right = 0 end
      if number ~= right or right == 0 then write_count(key, tenant, right) end
      if truth then truth[key][tenant] = nil end
    end
    for tenant, number in pairs(truth and truth[key] or {}) do
      if number > 0 then write_count(key, tenant, number) end
    end
  end
  if not truth then
    local running = call('ZCARD', Q .. 'processing')
    call('HSET', Q .. 'waiting', '', digits[math.max(0, unfinished - running)])
    call('HSET', Q .. 'running', '', digits[running])
  end
  stored_counts = {}
end`,
  'create': `local new_values, messages_with_new_tasks, new_dependents = {}, {}, {}
local function write_new_tasks()
  for dep, members in pairs(new_dependents) do call('ZADD', Q .. 'dependents:' .. dep, unpack(members)) end
  for i = 1, #new_values, MAX_ARGUMENTS do call('MSET', unpack(new_values, i, math.min(i + MAX_ARGUMENTS - 1, #new_values))) end
  for owner in pairs(messages_with_new_tasks) do call('PUBLISH', P .. 'message:' .. owner, '') end
end
local function create(draft, user, tenant, terms, batch, key, any_superseded)
  local id, extras = draft.id, draft.extras
  draft.step, draft.step_at = 'waiting_for_dependencies', now
  count('waiting', tenant, 1)
  if #draft.waits == 0 then
    terms.priority, terms.run_at = draft.priority, draft.run_at
    draft.step, draft.step_at = enqueue_or_delay(id, terms)
  end
  if draft.step ~= 'queued' then count_scheduled(tenant, 1) end
  local order = #draft.waits > 0 and next_order()
  for _, dep in ipairs(draft.waits) do
    local members = new_dependents[dep] or {}
    new_dependents[dep], members[#members + 1], members[#members + 2] = members, order, id
  end
  if #draft.deps > 0 then extras.deps = draft.deps end
  if #draft.waits > 0 then extras.waits = #draft.waits end
  if batch ~= '' then extras.batch = batch elseif key ~= '' then extras.key = key end
  local record = '\\n2 ' .. digits[now] .. ' ' .. draft.step .. ' ' .. (draft.step_at == now and '' or digits[draft.step_at]) .. ' ' .. draft.dedup_key .. ' ' .. draft.head ..
    (next(extras) and ' ' .. cjson.encode(extras) or '') .. '\\n'
  if #draft.request <= MAX_INLINE_BYTES then
    record = record .. draft.request
  else
    new_values[#new_values + 1], new_values[#new_values + 2] = request_key(id), draft.request
  end
  local name = P .. 'task:' .. id
  new_values[#new_values + 1], new_values[#new_values + 2], new_records[name], tasks[id] = name, record, record, nil
  local failed = draft.retry_of ~= '' and find(draft.retry_of)
  if failed then
    extras_of(failed.state).retried_as = id
    change(failed)
  end
  active_changes[id] = now
  local owner = draft.message .. ':' .. user
  local index = P .. 'message_tasks:' .. owner
  local is_shared = has_dedup_key(index, draft.dedup_key)
  index_active(index, id, draft.dedup_key, first_of(index), any_superseded and call('ZSCORE', Q .. 'superseded', owner))
  if is_shared then mark_shared(index, draft.dedup_key) end
  messages_with_new_tasks[owner] = true
end`,
  'deferred': `local function run_deferred(has_deferred)
  local left = notify_all_dependents()
  while has_deferred and cascaded < MAX_CASCADE and cancel_superseded() do notify_all_dependents() end
  while has_deferred and cascaded < MAX_CASCADE do
    local one = call('LPOP', Q .. 'unnotified')
    if not one then break end
    unnotified[1] = { string.gsub(one, '%+', ''), string.find(one, '+', 1, true) ~= nil }
    notify_all_dependents()
  end
  if not (left or has_deferred) then return false end
  if call('EXISTS', Q .. 'unnotified', Q .. 'superseded') == 0 then
    call('DEL', Q .. 'deferred')
    return false
  end
  if not has_deferred then notify_workers() end
  call('SET', Q .. 'deferred', 1)
  return true
end`,
  'dependencies': `local function dependency_status(dep, user, any_superseded)
  local task = find_kept(dep)
  if not task or task.terms.user ~= user then return 'unknown' end
  local status = task.state.status
  if status == 'FAILED' or status == 'CANCELLED' or status == 'LOST' or (any_superseded and is_superseded(dep, task.terms)) then return 'failed' end
  return status == 'COMPLETED' and 'completed' or 'open'
end
local function resolve_dependencies(by_id, new, user, any_superseded)
  local statuses, unread = {}, {}
  for _, draft in ipairs(new) do
    for _, dep in ipairs(draft.deps) do
      if not statuses[dep] then
        statuses[dep] = by_id[dep] and by_id[dep].is_new and 'open' or 'unread'
        unread[#unread + 1] = statuses[dep] == 'unread' and dep or nil
      end
    end
  end
  fetch(unread)
  for _, draft in ipairs(new) do
    draft.waits = {}
    local needs = string.gmatch(draft.needs, '%S+')
    for _, dep in ipairs(draft.deps) do
      local need = needs()
      if statuses[dep] == 'unread' then statuses[dep] = dependency_status(dep, user, any_superseded) end
      if statuses[dep] == 'unknown' or statuses[dep] == 'failed' then return { 'dependency_' .. statuses[dep], need } end
      if statuses[dep] == 'open' and not draft.waits[dep] then
        draft.waits[dep], draft.waits[#draft.waits + 1] = true, dep
      end
    end
  end
end`,
  'dependents': `local function notify_dependent(id, completed)
  local task = find(id)
  if not task then return end
  local terms, state = task.terms, task.state
  if state.status == 'LOST' then return fail_lost(task) end
  if state.step ~= 'waiting_for_dependencies' then return end
  if is_superseded(id, terms) then
    cancel_task(id)
  elseif not completed then
    remove_waiting(task)
    extras_of(state).code = 'CHARTS_ERR_DEPENDENCY_FAILED'
    finish(task, 'FAILED')
  else
    cascaded = cascaded + 1
    local waits = (extras_of(state).waits or 1) - 1
    extras_of(state).waits = waits > 0 and waits or nil
    change(task)
    if waits > 0 then return end
    state.step, state.step_at = enqueue_or_delay(id, terms)
    if state.step == 'queued' then count_scheduled(terms.tenant, -1) end
    announce(task)
    notify_workers()
  end
end
local function notify_dependents(id, completed)
  local lost = string.sub(id, -1) == '!' and find(string.sub(id, 1, -2))
  if lost then fail_lost(lost) end
  local key = Q .. 'dependents:' .. id
  local dependents = call('ZRANGE', key, 0, math.max(0, MAX_CASCADE - cascaded))
  fetch(dependents)
  for _, dependent in ipairs(dependents) do
    if cascaded >= MAX_CASCADE then return false end
    call('ZREM', key, dependent)
    notify_dependent(dependent, completed)
  end
  return true
end
local function notify_all_dependents()
  local left = {}
  for _, one in ipairs(unnotified) do
    local id, completed = unpack(one)
    if not notify_dependents(id, completed) then left[#left + 1] = completed and id .. '+' or id end
  end
  unnotified = {}
  if #left > 0 then call('RPUSH', Q .. 'unnotified', unpack(left)) end
  return #left > 0
end`,
  'due': `local MAX_DUE = RULES.MAX_DUE
local collected = 0
local function collect_due(key, time)
  local ids = call('ZRANGEBYSCORE', Q .. key, '-inf', time, 'LIMIT', 0, MAX_DUE - collected)
  collected = collected + #ids
  fetch(ids)
  return ids
end
local function was_held_back(state) return string.find(state.trace, '^queued,%d+,%d+$') end
local function has_lost_state(task)
  local state = task.state
  return state.status == 'LOST' or (state.status == 'PENDING' and state.lease == 0 and not is_placed(task))
end
local expired = {}
local function expire_leases(cap, has_deferred)
  for _, id in ipairs(collect_due('processing', expired_by)) do
    local task = find(id)
    if task and has_lost_state(task) then
      fail_lost(task)
    elseif not task or task.state.status ~= 'PROCESSING' then
      lease_changes[id] = false
    elseif has_deferred and is_superseded(id, task.terms) then
      cancel_task(id)
    elseif was_held_back(task.state) then
      end_lease(task, 'release', cap)
      requeue(task, 'queued', 0, 'release')
    else
      local attempt = task.state.attempt
      expired[#expired + 1] = { id, attempt, task.state.worker }
      end_lease(task, 'expire', cap)
      if attempt < task.terms.max then
        requeue(task, 'queued', 0, 'expire')
      else
        extras_of(task.state).code = 'CHARTS_ERR_WORKER_LOST'
        finish(task, 'FAILED')
      end
    end
  end
end
local function expire_queue_timeouts(has_deferred)
  for _, id in ipairs(is_any_timed() and collect_due('deadlines', expired_by) or {}) do
    call('ZREM', Q .. 'deadlines', id)
    local task = find(id)
    if task and has_deferred and is_superseded(id, task.terms) then
      cancel_task(id)
    elseif task and task.state.status == 'PENDING' and task.terms.queue_timeout then
      remove_waiting(task)
      extras_of(task.state).code = 'CHARTS_ERR_QUEUE_TIMEOUT'
      finish(task, 'FAILED')
    end
  end
end
local function queue_delayed()
  for _, id in ipairs(is_any_timed() and collect_due('delayed', now) or {}) do
    call('ZREM', Q .. 'delayed', id)
    local task = find(id)
    if not task then
      count_scheduled(nil, -1)
    elseif task.state.step == 'scheduled' and task.terms.run_at and task.terms.run_at > now then
      add_timed('delayed', digits[task.terms.run_at], id)
    elseif task.state.step ~= 'scheduled' and has_lost_state(task) then
      fail_lost(task)
    elseif task.state.status ~= 'PENDING' or queue_of(id) then
      count_scheduled(nil, -1)
    elseif task.state.step == 'scheduled' then
      count_scheduled(task.terms.tenant, -1)
      task.state.step, task.state.step_at = 'queued', now
      enqueue_task(id, task.terms)
      announce(task)
    else
      count_scheduled(nil, -1)
      add_to_queue('requeued', id, digits[now])
    end
  end
end
local DEFERRED_DELAY_MS = RULES.DEFERRED_DUE_MS
local MAX_WAIT_MS = 86400000
local function next_due(has_deferred)
  local due = has_deferred and DEFERRED_DELAY_MS or -1
  for _, key in ipairs(is_any_timed() and { 'processing', 'delayed', 'deadlines' } or { 'processing' }) do
    local head = tonumber(call('ZRANGE', Q .. key, 0, 0, 'WITHSCORES')[2])
    local left = head and math.min(math.max(0, head - (key == 'delayed' and now or expired_by)), MAX_WAIT_MS)
    if left and (due < 0 or left < due) then due = left end
  end
  return due
end`,
  'duplicates': `local MAX_LOOKED_AT = 1000
local function answers_draft(id, draft, any_superseded)
  local task = find_kept(id)
  if not task or task.terms.dedup_key ~= draft.dedup_key then return end
  local status, chart = task.state.status, task.state.chart
  if status == 'PENDING' or status == 'PROCESSING' then return not (any_superseded and is_superseded(id, draft)) and 'already_active' or nil end
  if status == 'COMPLETED' then return chart == draft.chart_check and not draft.chart_exists and 'chart_lost' or 'chart_exists', chart end
end
local function find_among_shared(index, draft, any_superseded)
  for _, range in ipairs({ { 'ZRANGEBYSCORE', FIRST, '(0' }, { 'ZREVRANGEBYSCORE', LAST, '(0' } }) do
    local verb, from, to = unpack(range)
    for offset = 0, MAX_LOOKED_AT - MAX_ARGUMENTS, MAX_ARGUMENTS do
      local ids = call(verb, index, from, to, 'LIMIT', offset, MAX_ARGUMENTS)
      fetch(ids)
      for _, id in ipairs(ids) do
        local outcome, chart = answers_draft(id, draft, any_superseded)
        if outcome == 'chart_lost' then return end
        if outcome then
          local score = call('ZSCORE', index, id)
          call('ZADD', index, digits[score + (outcome == 'chart_exists' and FAR or -FAR)], '=' .. draft.dedup_key)
          return id, outcome, chart
        end
      end
      if #ids < MAX_ARGUMENTS then break end
    end
  end
  call('ZREM', index, '=' .. draft.dedup_key, '+' .. draft.dedup_key)
end
local function find_duplicate(draft, stores_content, any_superseded)
  local index = message_index_of(draft)
  local pointer = call('ZSCORE', index, '=' .. draft.dedup_key)
  local score = pointer and digits[pointer + (tonumber(pointer) < 0 and FAR or -FAR)]
  local id, outcome, chart = score and call('ZRANGEBYSCORE', index, score, score, 'LIMIT', '0', '1')[1], nil, nil
  if id then outcome, chart = answers_draft(id, draft, any_superseded) end
  if outcome == 'chart_lost' then id, outcome = nil, nil end
  if not outcome and call('ZSCORE', index, '+' .. draft.dedup_key) then id, outcome, chart = find_among_shared(index, draft, any_superseded) end
  if outcome ~= 'chart_exists' then return outcome and id, outcome end
  if stores_content and call('EXISTS', P .. 'chart:' .. chart) == 0 then return end
  return id, outcome, not stores_content and chart ~= draft.chart_check and chart or nil
end
local function match_duplicates(drafts, stores_content, any_superseded)
  local by_id, id_by_key, new, unchecked = {}, {}, {}, {}
  for _, draft in ipairs(drafts) do by_id[draft.id] = draft end
  local function match(draft)
    if draft.deps then return end
    draft.deps = {}
    for need in string.gmatch(draft.needs, '%S+') do
      if by_id[need] then match(by_id[need]) end
      draft.deps[#draft.deps + 1] = by_id[need] and by_id[need].becomes or need
    end
    if #draft.deps > 0 then draft.dedup_key = redis.sha1hex(draft.dedup_key .. ' ' .. table.concat(draft.deps, ' ')) end
    if id_by_key[draft.dedup_key] and not draft.force and not draft.known then
      draft.becomes, draft.outcome, draft.is_duplicate = id_by_key[draft.dedup_key], 'already_active', true
    elseif not draft.force and not draft.known then
      local chart
      draft.becomes, draft.outcome, chart = find_duplicate(draft, stores_content, any_superseded)
      if chart then unchecked[#unchecked + 1] = { draft.id, chart } end
    end
    if not draft.becomes then
      draft.becomes, draft.outcome, draft.is_new = draft.id, 'queued', not draft.known
      id_by_key[draft.dedup_key] = draft.id
    end
  end
  for _, draft in ipairs(drafts) do match(draft) end
  for _, draft in ipairs(drafts) do
    if draft.is_new then new[#new + 1] = draft end
  end
  return by_id, new, #unchecked > 0 and { 'chart_check_required', unchecked }
end`,
  'expiry-clock': `local expected_now = tonumber(ARGV[#ARGV])
local expired_by = expected_now and math.min(now, expected_now) or now
local CLOCK_TOLERANCE_MS = 2000`,
  'find-superseded': `local MAX_CANCELLED_NOW = RULES.MAX_CASCADE
local function keep_dependencies(kept)
  local open = {}
  for id in pairs(kept) do open[#open + 1] = id end
  while #open > 0 do
    local id = table.remove(open)
    local task = find(id)
    kept[id] = task and task.terms
    for _, dep in ipairs(task and extras_of(task.state).waits and task.terms.deps or {}) do
      if kept[dep] == nil then kept[dep], open[#open + 1] = false, dep end
    end
  end
end
local function find_superseded(drafts, user)
  local kept, owners, seen, active_count = {}, {}, {}, 0
  for _, draft in ipairs(drafts) do
    local owner = draft.message .. ':' .. user
    if draft.supersede and not seen[owner] then
      local active = call('ZCOUNT', P .. 'message_tasks:' .. owner, FIRST, '(0')
      if active > 0 then owners[#owners + 1] = owner end
      seen[owner], active_count = true, active_count + active
    end
  end
  if active_count == 0 then return {}, {}, kept end
  for _, draft in ipairs(drafts) do
    kept[draft.becomes] = false
    for _, dep in ipairs(draft.is_new and draft.deps or {}) do kept[dep] = false end
  end
  keep_dependencies(kept)
  if active_count > MAX_CANCELLED_NOW then return {}, owners, kept end
  local older = {}
  for _, owner in ipairs(owners) do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, FIRST, '(0')) do
      if kept[id] == nil then older[#older + 1] = id end
    end
  end
  return older, {}, kept
end`,
  'finish': `--- @include "unrun"
local ended, has_ended, unnotified = {}, {}, {}
local MAX_CASCADE = RULES.MAX_CASCADE
local cascaded = 0
local function finish(task, status)
  local id, terms, state = task.id, task.terms, task.state
  local keep_task, keep_index, extras = terms.keep_task, terms.keep_index, state.extras or {}
  ended[#ended + 1], has_ended[id], unnotified[#unnotified + 1] = id, true, { id, status == 'COMPLETED' }
  cascaded = cascaded + 1 + math.floor((#(extras.keys or {}) + #(extras.batches or {})) / 100)
  state.status, state.step, state.completed, state.claim_id = status, string.lower(status), now, ''
  extras.waits = nil
  if status == 'CANCELLED' then shorten_request(task) end
  if state.lease == 0 then limit_unrun(id, terms.tenant, keep_task) end
  announce(task)
  if state.lease > 0 then keys_to_delete[#keys_to_delete + 1] = Q .. 'checkpoints:' .. id end
  if task.has_request_key then call('PEXPIRE', request_key(id), digits[keep_task]) end
  if extras.has_attempts then call('PEXPIRE', Q .. 'attempts:' .. id, keep_task) end
  for _, key in ipairs(extras.keys or {}) do call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
  active_changes[id], finished_changes[id] = false, now + keep_task
  finished_ttl = math.max(finished_ttl, keep_task)
  local has_chart = status == 'COMPLETED'
  index_ended(message_index_of(terms), id, terms.dedup_key, keep_task, keep_index, has_chart)
  if has_chart and terms.shared ~= '' then index_chart(P .. 'message_charts:' .. terms.message .. ':' .. terms.shared, id, keep_task, keep_index) end
  for _, batch in ipairs(extras.batches or {}) do end_in_batch(batch, keep_task) end
end
local function ended_besides(own)
  local replies = {}
  for _, id in ipairs(ended) do
    if not own[id] then replies[#replies + 1] = task_reply(id) or nil end
  end
  return replies
end`,
  'history': `local HOUR = 3600000
local function hour_key(kind, time) return Q .. kind .. ':' .. digits[time - time % HOUR] end`,
  'index-active': `--- @include "message-index"
local function first_of(index) return call('ZRANGEBYSCORE', index, FIRST, '+inf', 'WITHSCORES', 'LIMIT', '0', '1') end
local function index_active(index, id, dedup_key, first, superseded)
  local score = -math.max(now, 1 - tonumber(first[2] or 0), 1 - tonumber(superseded or 0))
  call('ZADD', index, digits[score], id, digits[score - FAR], '=' .. dedup_key)
  if first[1] then call('PERSIST', index) end
  return score
end
local function has_dedup_key(index, dedup_key) return call('ZSCORE', index, '=' .. dedup_key) or call('ZSCORE', index, '+' .. dedup_key) end`,
  'index-ended': `--- @include "message-index"
local function mark_shared(index, dedup_key) call('ZADD', index, digits[2 * FAR + now], '+' .. dedup_key) end
local function clear_answer(index, dedup_key)
  mark_shared(index, dedup_key)
  call('ZREM', index, '=' .. dedup_key)
end
local function next_finished(index, keep_task, is_last)
  local newest = tonumber(call('ZREVRANGEBYSCORE', index, LAST, '(0', 'WITHSCORES', 'LIMIT', '0', '1')[2] or 0)
  local oldest_kept = now - keep_task
  local old = newest > 0 and call('ZRANGEBYSCORE', index, '(0', digits[oldest_kept], 'WITHSCORES', 'LIMIT', '0', '100') or {}
  for i = 1, #old, 2 do
    if call('EXISTS', P .. 'task:' .. old[i]) == 0 then
      local pointer = digits[old[i + 1] + FAR]
      call('ZREM', index, old[i])
      call('ZREMRANGEBYSCORE', index, pointer, pointer)
    end
  end
  if #old > 0 and is_last then call('ZREMRANGEBYSCORE', index, digits[2 * FAR], digits[2 * FAR + oldest_kept]) end
  return math.max(now, newest + 1)
end
local function index_ended(index, id, dedup_key, keep_task, keep_index, has_chart)
  if call('ZCARD', index) == 2 then
    if has_chart then
      call('ZADD', index, digits[now], id, digits[now + FAR], '=' .. dedup_key)
    else
      call('ZADD', index, digits[now], id)
      call('ZREM', index, '=' .. dedup_key)
    end
    call('PEXPIRE', index, digits[keep_index])
    return
  end
  local active = call('ZRANGEBYSCORE', index, FIRST, '(0', 'LIMIT', '0', '2')
  local is_last = (active[1] or id) == id and (active[2] or id) == id
  local score = next_finished(index, keep_task, is_last)
  call('ZADD', index, digits[score], id)
  if call('ZSCORE', index, '+' .. dedup_key) then
    clear_answer(index, dedup_key)
  elseif has_chart then
    call('ZADD', index, digits[score + FAR], '=' .. dedup_key)
  else
    call('ZREM', index, '=' .. dedup_key)
  end
  if is_last then prolong(index, digits[keep_index]) end
end
local function index_chart(index, id, keep_task, keep_index)
  call('ZADD', index, digits[next_finished(index, keep_task, true)], id)
  prolong(index, digits[keep_index])
end
local function end_in_batch(batch, keep_task)
  local name = Q .. 'batch:' .. batch
  if call('HINCRBY', name, 'left', '-1') > 0 then return end
  call('PEXPIRE', name, keep_task)
  local key = call('HGET', name, 'key')
  if key and key ~= '' then call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
end`,
  'is-superseded': `local function is_superseded(id, terms)
  local newest = call('ZSCORE', Q .. 'superseded', terms.message .. ':' .. terms.user)
  local score = newest and call('ZSCORE', message_index_of(terms), id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end`,
  'last-claim': `--- @include "start"
local last_claim_key = Q .. 'claim:' .. ARGV[2] .. (ARGV[8] == '0' and '' or ':' .. ARGV[8])`,
  'leave': `local MAX_ATTEMPTS = RULES.MAX_ATTEMPTS
local function refund_turn(id, terms)
  local priority, tenant = terms.priority, terms.tenant
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', Q .. 'capped:' .. tenant, id)
  local turn = turn_of(priority, tenant)
  if score and math.floor(score % MAX_TURN) == turn then turns_of(priority)[tenant] = turn - math.floor(ROUND / (terms.weight or 1)) end
end
local function remove_waiting(task)
  local id, terms, step = task.id, task.terms, task.state.step
  flush_queues()
  refund_turn(id, terms)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  local delayed = call('ZREM', Q .. 'delayed', id) == 1
  for _, key in ipairs({ 'deadlines', 'capped:' .. terms.tenant }) do call('ZREM', Q .. key, id) end
  if is_scheduled(step) then
    count_scheduled(terms.tenant, -1)
  elseif delayed then
    count_scheduled(nil, -1)
  end
  for _, dep in ipairs(terms.deps or {}) do call('ZREM', Q .. 'dependents:' .. dep, id) end
  count('waiting', terms.tenant, -1)
  readmit_capped(terms.tenant)
end
local function end_lease(task, verb, cap)
  lease_changes[task.id], task.state.settled_by = false, verb
  change(task)
  count('running', task.terms.tenant, -1)
  readmit_capped(task.terms.tenant, cap)
end
local function requeue(task, step, delay, verb, code, message)
  local id, state, extras = task.id, task.state, extras_of(task.state)
  local key, started = Q .. 'attempts:' .. id, tonumber(string.match(state.trace, ',(%d+)') or now)
  call('RPUSH', key, cjson.encode({ state.attempt, state.lease, state.worker, started, now, verb, state.step, state.progress, code or '', message or '' }))
  call('LTRIM', key, -MAX_ATTEMPTS, -1)
  if verb == 'expire' then
    extras.losses, extras.lost_worker = (extras.losses or 0) + 1, state.worker
  elseif verb ~= 'release' then
    extras.losses, extras.lost_worker = nil, nil
  end
  if verb == 'release' then state.attempt = state.attempt - 1 end
  state.status, state.step, state.step_at, state.progress, state.step_from, state.progress_at = 'PENDING', step, now + delay, 0, nil, nil
  extras.steps, extras.has_attempts = nil, true
  count('waiting', task.terms.tenant, 1)
  if delay > 0 then
    add_timed('delayed', digits[now + delay], id)
    count_scheduled(nil, 1)
  else
    add_to_queue('requeued', id, digits[now])
  end
  announce(task)
  notify_workers()
end`,
  'lifecycle': `--- @include "base"
--- @include "queue"
--- @include "index-active"
--- @include "index-ended"
--- @include "is-superseded"
--- @include "pop"
--- @include "capped"
--- @include "leave"
--- @include "finish"
--- @include "lost"
--- @include "cancel-task"
--- @include "dependents"
--- @include "supersede"
--- @include "deferred"
--- @include "commit"`,
  'limits': `local MAX_ROOM_LOOKED_AT, ROOM_PAGE = 1000, 100
local function count_freed_room(older, owners, kept, tenant, needed)
  local room, looked, seen = { waiting = 0, scheduled = 0, ready = 0 }, 0, {}
  local function is_enough()
    return looked == MAX_ROOM_LOOKED_AT or (room.waiting >= needed.waiting and room.scheduled >= needed.scheduled and room.ready >= needed.ready and
      room.waiting + room.scheduled >= needed.both)
  end
  local function look_at(ids)
    fetch(ids)
    for _, id in ipairs(ids) do
      if is_enough() then return true end
      if kept[id] == nil and not seen[id] then
        local task = find(id)
        seen[id], looked = true, looked + 1
        if task and task.state.status == 'PENDING' then
          local kind = is_scheduled(task.state.step) and 'scheduled' or 'waiting'
          if task.terms.tenant == tenant then room[kind] = room[kind] + 1 end
          if kind == 'waiting' and not call('ZSCORE', Q .. 'delayed', id) then room.ready = room.ready + 1 end
        end
      end
    end
  end
  local function look_at_message(owner, newest)
    for from = 0, MAX_ROOM_LOOKED_AT - 1, ROOM_PAGE do
      local ids = call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, newest, '(0', 'LIMIT', from, ROOM_PAGE)
      if look_at(ids) then return true end
      if #ids < ROOM_PAGE then return end
    end
  end
  if look_at(older) then return room end
  for _, owner in ipairs(owners) do
    if look_at_message(owner, FIRST) then return room end
  end
  local superseded = call('ZREVRANGE', Q .. 'superseded', 0, ROOM_PAGE - 1, 'WITHSCORES')
  for i = 1, #superseded, 2 do
    if look_at_message(superseded[i], superseded[i + 1]) then break end
  end
  return room
end
local function repair_counts_now()
--- @include "counts"
  repair_counts()
end
local function find_exceeded_limit(new, older, owners, kept, tenant, limits)
  if #new == 0 or limits.waiting + limits.scheduled + limits.ready == 0 then return end
  local of_tenant, of_all = counted('waiting', tenant), counted('waiting', '')
  local function fits(number, limit) return limit == 0 or number + #new <= limit end
  if fits(of_tenant, limits.waiting) and fits(of_tenant, limits.scheduled) and fits(of_all, limits.ready) then return end
  local unfinished = call('ZCARD', Q .. 'active')
  if stored_counts.waiting[tenant] > unfinished or stored_counts.waiting[''] > unfinished then
    repair_counts_now()
    of_tenant, of_all = counted('waiting', tenant), counted('waiting', '')
  end
  local scheduled = math.min(counted('scheduled', tenant), of_tenant)
  local ready_of_all = of_all - math.min(counted('scheduled', ''), of_all)
  local new_scheduled = 0
  for _, draft in ipairs(new) do
    if #draft.waits > 0 or draft.run_at > now then new_scheduled = new_scheduled + 1 end
  end
  local new_ready = #new - new_scheduled
  local both = limits.waiting > 0 and limits.scheduled > 0 and limits.waiting + limits.scheduled or 0
  local function excess(added, present, limit) return added > 0 and limit > 0 and math.max(0, present + added - limit) or 0 end
  local needed = {
    waiting = excess(new_ready, of_tenant - scheduled, limits.waiting), scheduled = excess(new_scheduled, scheduled, limits.scheduled),
    both = excess(new_scheduled, of_tenant + new_ready, both), ready = excess(new_ready, ready_of_all, limits.ready)
  }
  if needed.waiting + needed.scheduled + needed.both + needed.ready == 0 then return end
  local room = count_freed_room(older, owners, kept, tenant, needed)
  if room.waiting < needed.waiting then return { 'tenant_full', new_ready } end
  if room.scheduled < needed.scheduled or room.waiting + room.scheduled < needed.both then return { 'scheduled_full', new_scheduled } end
  if room.ready < needed.ready then return { 'queue_full', new_ready } end
end`,
  'lost': `local function is_request(text, from)
  return text and (string.find(text, '^%s*{', from) or string.find(text, COMPACT, from)) and string.find(text, '}%s*$', -16) and true
end
local function replace_request(task)
  local terms = task.terms
  local function from_word(text)
    return (string.gsub(text, '%%(%x%x)', function(code) return string.char(tonumber(code, 16)) end))
  end
  local org_id = string.match(terms.tenant, '^org:') and from_word(string.sub(terms.tenant, 5)) or cjson.null
  local request = cjson.encode({
    task_id = task.id, message_id = terms.message, user_id = from_word(terms.user), org_id = org_id,
    visibility = terms.shared ~= '' and 'ORGANIZATION' or 'PRIVATE', force_create = false, adjustment_query = cjson.null
  })
  task.record, task.has_request_key = string.sub(task.record, 1, task.request_start - 1) .. request, false
  keys_to_delete[#keys_to_delete + 1] = request_key(task.id)
  extras_of(task.state).shortened = true
end
local function fail_lost(task, has_request)
  local id, state = task.id, task.state
  if state.completed then return end
  flush_queues()
  local was_running = state.status == 'PROCESSING' or (lease_changes[id] ~= false and call('ZSCORE', Q .. 'processing', id))
  if was_running then
    end_lease(task, 'fail')
    call('PUBLISH', P .. 'cancelled', id)
  else
    remove_waiting(task)
  end
  if has_request == false then replace_request(task) end
  extras_of(state).code = 'CHARTS_ERR_RECORD_LOST'
  finish(task, 'FAILED')
  keys_to_delete[#keys_to_delete + 1] = Q .. 'checkpoints:' .. id
  call('PEXPIRE', Q .. 'attempts:' .. id, digits[task.terms.keep_task])
end`,
  'mend-keys': `local SCAN_COUNT = 150
local function check_record(id)
  if call('ZSCORE', Q .. 'active', id) or call('ZSCORE', Q .. 'finished', id) then return end
  local task = find(id)
  if not task then return end
  if task.state.completed then
    put_score(Q .. 'finished', expires_at(task), id)
  else
    put_score(Q .. 'active', task.terms.created, id)
    check_task(id)
  end
end
local PARTS = { P .. 'request:', Q .. 'attempts:', Q .. 'checkpoints:', Q .. 'dependents:' }
local function check_part(key)
  for i, start in ipairs(PARTS) do
    if string.sub(key, 1, #start) == start then
      local id = string.sub(key, #start + 1)
      if call('EXISTS', P .. 'task:' .. id) == 1 then return end
      if i < #PARTS then call('DEL', key) else defer_to_claim(id) end
      return count_mended()
    end
  end
end
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
local BATCH, IDEMPOTENCY = Q .. 'batch:', Q .. 'idempotency:'
local function check_binding(key)
  local names, bound = {}, { key }
  if string.sub(key, 1, #BATCH) == BATCH then
    local ids, idempotency = unpack(call('HMGET', key, 'ids', 'key'))
    for id in string.gmatch(ids or '', '%S+') do
      if #names < MAX_ARGUMENTS then names[#names + 1] = P .. 'task:' .. id end
    end
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
local function mend_scanned_keys(cursor)
  local found = redis.pcall('SCAN', cursor, 'MATCH', (string.gsub(P, '[%*%?%[%]\\\\]', '\\\\%0')) .. '*', 'COUNT', SCAN_COUNT)
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
local function mend_states(cursor)
  local found = redis.pcall('HSCAN', Q .. 'states', cursor, 'COUNT', SCAN_COUNT)
  if found.err then return 'c:' end
  for i = 1, #found[2], 2 do
    local id = found[2][i]
    if call('EXISTS', P .. 'task:' .. id) == 0 then mended = mended + call('HDEL', Q .. 'states', id) end
  end
  return found[1] == '0' and 'c:' or 'h:' .. found[1]
end`,
  'mend-tasks': `local MEND_PAGE = 50
local GRACE_MS, MAX_LEASE_MS = 60000, 86400000
local mended = 0
local function count_mended() mended = mended + 1 end
local deferred_entries = {}
local function defer_to_claim(entry)
  if deferred_entries[entry] then return end
  deferred_entries[entry] = true
  call('RPUSH', Q .. 'unnotified', entry)
  count_mended()
end
local function remove_traces(id)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  for _, key in ipairs({ 'active', 'processing', 'delayed', 'deadlines' }) do call('ZREM', Q .. key, id) end
  call('HDEL', Q .. 'states', id)
  call('DEL', P .. 'task:' .. id, request_key(id), Q .. 'attempts:' .. id, Q .. 'checkpoints:' .. id)
  defer_to_claim(id)
end
local function put_score(key, score, id)
  call('ZADD', key, digits[score], id)
  count_mended()
end
local function await_dependency(task, dep, completed)
  put_score(Q .. 'dependents:' .. dep, next_order(), task.id)
  defer_to_claim(completed and dep .. '+' or dep)
end
local function check_dependencies(task)
  local id, extras, deps = task.id, extras_of(task.state), task.terms.deps or {}
  local seen, waits, gone = {}, 0, nil
  fetch(deps)
  for _, dep in ipairs(deps) do
    local key = Q .. 'dependents:' .. dep
    local need = not seen[dep] and find_kept(dep)
    local status = need and need.state.status
    local is_dependent = not seen[dep] and call('ZSCORE', key, id)
    if not (seen[dep] or need or is_dependent) then
      gone = dep
    elseif not seen[dep] and (status ~= 'COMPLETED' or is_dependent) then
      waits = waits + 1
      if not is_dependent then put_score(key, next_order(), id) end
      if status == 'COMPLETED' then
        if call('EXISTS', Q .. 'unnotified') == 0 then defer_to_claim(dep .. '+') end
      elseif status ~= 'PENDING' and status ~= 'PROCESSING' and status ~= 'LOST' and call('EXISTS', Q .. 'unnotified') == 0 then
        defer_to_claim(dep)
      end
    end
    seen[dep] = true
  end
  if gone and waits < (extras.waits or 1) then
    waits = waits + 1
    await_dependency(task, gone, false)
  elseif waits == 0 and deps[1] then
    waits = 1
    await_dependency(task, deps[1], true)
  end
  if waits == 0 then
    defer_to_claim(id .. '!')
  elseif extras.waits ~= waits then
    extras.waits = waits
    change(task)
    count_mended()
  end
end
local function is_implausible_turn(priority, tenant, turn)
  return turn < 0 or turn >= MAX_TURN or turn > (share('round:' .. priority) or 0) + ROUND * (2 * counted('waiting', tenant) + 100)
end
local function check_queued(task)
  local id, terms, state = task.id, task.terms, task.state
  local name, score = queue_of(id)
  if name and (name == 'requeued') ~= (state.lease > 0) then
    if state.lease == 0 then defer_to_claim(id .. '!') end
  elseif name and STRIDE[name] and is_implausible_turn(name, terms.tenant, score) then
    call('ZREM', queue(name), id)
    turns_of(name)[terms.tenant] = nil
    call('HDEL', Q .. 'turns:' .. name, terms.tenant)
    enqueue_task(id, terms)
    count_mended()
  elseif not name and call('ZSCORE', Q .. 'capped:' .. terms.tenant, id) then
    local ready = counted('waiting', terms.tenant) - counted('scheduled', terms.tenant)
    if counted('running', terms.tenant) == 0 and ready <= call('ZCARD', Q .. 'capped:' .. terms.tenant) then
      readmit_capped(terms.tenant)
      count_mended()
    end
  elseif not name then
    if state.lease > 0 then add_to_queue('requeued', id, digits[now]) else enqueue_task(id, terms) end
    notify_workers()
    count_mended()
  end
  if terms.queue_timeout and state.lease == 0 then
    local ends, known = state.step_at + terms.queue_timeout, tonumber(call('ZSCORE', Q .. 'deadlines', id) or nil)
    if not known or known > ends then put_score(Q .. 'deadlines', ends, id) end
  end
end
local function check_pending(task)
  local id, state = task.id, task.state
  local delayed_until = call('ZSCORE', Q .. 'delayed', id)
  if state.step == 'waiting_for_dependencies' then
    check_dependencies(task)
  elseif state.step == 'scheduled' or state.step == 'retrying' then
    if delayed_until and tonumber(delayed_until) > state.step_at then
      put_score(Q .. 'delayed', state.step_at, id)
    elseif not delayed_until and not is_placed(task) then
      put_score(Q .. 'delayed', state.step_at, id)
    end
  elseif state.lease == 0 and (delayed_until or call('ZSCORE', Q .. 'processing', id)) then
    defer_to_claim(id .. '!')
  else
    check_queued(task)
  end
end
local function check_running(task)
  local ends = tonumber(call('ZSCORE', Q .. 'processing', task.id) or nil)
  if not ends or ends > now + MAX_LEASE_MS then put_score(Q .. 'processing', now + GRACE_MS, task.id) end
end
local function check_message_index(task)
  local index, id, dedup_key = message_index_of(task.terms), task.id, task.terms.dedup_key
  local score = tonumber(call('ZSCORE', index, id) or nil)
  local is_active = score and score < 0
  if is_active and has_dedup_key(index, dedup_key) then return end
  if not is_active then index_active(index, id, dedup_key, first_of(index)) end
  clear_answer(index, dedup_key)
  count_mended()
end
local function check_task(id)
  local task = find(id)
  if not task then
    remove_traces(id)
    return
  end
  local state = task.state
  if state.completed then
    call('ZREM', Q .. 'active', id)
    if not call('ZSCORE', Q .. 'finished', id) then call('ZADD', Q .. 'finished', digits[expires_at(task)], id) end
    return count_mended()
  end
  if state.status == 'LOST' then return defer_to_claim(id .. '!') end
  if state.status == 'PROCESSING' then check_running(task) else check_pending(task) end
  check_message_index(task)
end
local function mend_active(from)
  local key = Q .. 'active'
  local ids, before = call('ZRANGE', key, from, from + MEND_PAGE - 1), call('ZCARD', key)
  fetch(ids)
  for _, id in ipairs(ids) do check_task(id) end
  if #ids < MEND_PAGE then return 's:0' end
  return 'a:' .. digits[from + MEND_PAGE - (before - call('ZCARD', key))]
end`,
  'message-index': `local FAR = 2 ^ 51
local FIRST, LAST = '(-2251799813685248', '(2251799813685248'`,
  'order': `local PRIORITIES = { 'high', 'normal', 'low' }
local STRIDE = { high = RULES.STRIDE_HIGH, normal = RULES.STRIDE_NORMAL, low = RULES.STRIDE_LOW }
local QUEUES = { 'requeued', 'high', 'normal', 'low' }
local function queue(name) return Q .. 'queue:' .. name end
local shares
local changed_shares = {}
local function share(field)
  if not shares then
    local stored = call('HMGET', Q .. 'shares', 'high', 'normal', 'low', 'round:high', 'round:normal', 'round:low', 'clock', 'order')
    shares = {
      high = to_number(stored[1]), normal = to_number(stored[2]), low = to_number(stored[3]), ['round:high'] = to_number(stored[4]),
      ['round:normal'] = to_number(stored[5]), ['round:low'] = to_number(stored[6]), clock = to_number(stored[7]), order = to_number(stored[8])
    }
    for _, priority in ipairs(PRIORITIES) do
      local latest = (shares.clock or 0) + STRIDE[priority]
      if (shares[priority] or 0) > latest then shares[priority], changed_shares[priority] = latest, latest end
    end
  end
  return shares[field]
end
local function set_share(field, value)
  if share(field) == value then return end
  shares[field], changed_shares[field] = value, value
end`,
  'plain-claim': `local WAITING = '^\\n2 %d+ %S+ %d* %S+ %S+ %l+ %d+ %d+ %d+ %d+ %S+ (%S+) (%S+) %S* ?([^\\n]*)\\n()'
local CLOSING = string.byte('}')
local function next_tasks(wanted)
  local ids, heads, clock, left = {}, {}, nil, 0
  for _, name in ipairs(PRIORITIES) do
    local due = share(name)
    local page = due and call('ZRANGE', queue(name), '0', digits[wanted], 'WITHSCORES')
    if page and page[1] then heads[#heads + 1], left = { name = name, page = page, used = 0, due = due, score = 0 }, left + #page / 2 end
  end
  while #ids < wanted and left > 0 do
    local best
    for _, head in ipairs(heads) do
      if head.page[2 * head.used + 1] and (not best or head.due < best.due) then best = head end
    end
    local id, score = best.page[2 * best.used + 1], tonumber(best.page[2 * best.used + 2])
    if score < 0 or score >= MAX_TURN or ids[id] then return nil end
    ids[id], ids[#ids + 1], left = true, id, left - 1
    best.used, best.score, clock, best.due = best.used + 1, score, best.due, best.due + STRIDE[best.name]
  end
  return { ids = ids, heads = heads, clock = clock, is_left = left > 0 }
end
local function read_starts(ids, records, states)
  local tenants, requests, extras, bytes = {}, {}, {}, 0
  for n, id in ipairs(ids) do
    local record = records[id]
    local tenant, user, terms_extras, request_start = string.match(record, WAITING)
    if not tenant or states[id] ~= '' or string.find(terms_extras, '"queue_timeout"', 1, true) then return nil end
    local key, batch = string.match(terms_extras, '"key":"([%w_-]+)"'), string.match(terms_extras, '"batch":"([%w_-]+)"')
    extras[n] = batch and ' {"batches":["' .. batch .. '"]}' or key and ' {"keys":["' .. key .. '"]}' or ''
    local request = request_start > #record and (call('GET', P .. 'request:' .. id) or '')
    local is_begun = request and string.find(request, '^{') or string.find(record, COMPACT, request_start) or string.find(record, '^{', request_start)
    if not is_begun or string.byte(request or record, -1) ~= CLOSING then return nil end
    tenants[n], requests[n] = to_tenant(tenant, user), request
    bytes = bytes + #record + #(request or '')
    if bytes > MAX_CLAIMED_BYTES then return nil end
  end
  return { tenants = tenants, requests = requests, extras = extras }
end
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
end`,
  'plain-enqueue': `--- @include "start"
--- @include "turns"
--- @include "position"
--- @include "index-active"
local PER_REQUEST, PER_DRAFT = 6, 5
local known_limits = {}
local starts, owners, priorities, traces = {}, {}, {}, {}
local dedup_keys, firsts = {}, {}
local function index_of(owner) return P .. 'message_tasks:' .. owner end
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
local function are_new(keys)
  local n = #keys
  for owner in pairs(dedup_keys) do firsts[owner], keys[#keys + 1] = {}, index_of(owner) end
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
local new_values, queue_additions, active = {}, {}, {}
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
  new_values[#new_values + 1] = '\\n2 ' .. at .. ' queued  ' .. dedup_key .. ' ' .. head .. extras .. '\\n' .. request
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
end`,
  'plain-exchange': `--- @include "start"
--- @include "expiry-clock"
--- @include "last-claim"
--- @include "tenants"
--- @include "index-ended"
local exchange_plain
do
--- @include "plain-settle"
--- @include "plain-claim"
local function next_due(leases, ended, has_claimed)
  local next_end = has_claimed and now + tonumber(ARGV[5]) or math.huge
  if not leases[1] or not ended[leases[1]] then
    next_end = math.min(next_end, leases[2] or math.huge)
  elseif leases[3] and not ended[leases[3]] then
    next_end = math.min(next_end, leases[4])
  elseif leases[3] then
    next_end = tonumber(call('ZRANGE', Q .. 'processing', '0', '0', 'WITHSCORES')[2]) or math.huge
  end
  return next_end < math.huge and math.max(0, next_end - expired_by) or -1
end
function exchange_plain()
  local claim_id, wanted, lease_duration, max_running = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
  if max_running > 0 or (expected_now and expected_now - now > CLOCK_TOLERANCE_MS) then return nil end
  if call('EXISTS', queue('requeued'), Q .. 'delayed', Q .. 'deadlines', Q .. 'paused', Q .. 'deferred') > 0 then return nil end
  local leases = call('ZRANGE', Q .. 'processing', '0', '1', 'WITHSCORES')
  if leases[2] and tonumber(leases[2]) <= expired_by then return nil end
  local ending, seen = {}, {}
  for i = 9, #ARGV - 1, 7 do
    local id = ARGV[i]
    if ARGV[i + 2] ~= 'complete' or seen[id] then return nil end
    seen[id], ending[#ending + 1] = true, id
  end
  local turn = next_tasks(math.min(wanted, MAX_CLAIMED))
  if not turn then return nil end
  local keys, ids, records, states = { last_claim_key }, {}, {}, {}
  for _, list in ipairs({ ending, turn.ids }) do
    for _, id in ipairs(list) do keys[#keys + 1], ids[#ids + 1] = P .. 'task:' .. id, id end
  end
  local values = call('MGET', unpack(keys))
  if values[1] and string.sub(values[1], 1, #claim_id + 1) == claim_id .. ' ' then return nil end
  local stored_states = #ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}
  for n, id in ipairs(ids) do records[id], states[id] = values[n + 1] or '', stored_states[n] or '' end
  local others = { queue('high'), queue('normal'), queue('low') }
  local ends = read_ends(ending, records, states, others)
  local starts = ends and read_starts(turn.ids, records, states)
  if not starts or call('EXISTS', unpack(others)) > #turn.heads then return nil end
  local ended, answers = write_ends(ends)
  local claimed = write_starts(turn, starts, records)
  write_tenants()
  if #claimed + #ended > 0 then
    call('SET', last_claim_key, claim_id .. ' ' .. table.concat(turn.ids, ' ') .. ';' .. table.concat(ended, ' ') .. ';', 'PX', digits[lease_duration])
  end
  if turn.is_left then signal_work() end
  return answers, { claimed, {}, next_due(leases, seen, #claimed > 0), digits[now], 0, {} }
end
end`,
  'plain-settle': `local ENDING = '^\\n2 %d+ %S+ %d* (%S+) (%S+) %l+ %d+ (%d+) (%d+) (%d+) %S+ (%S+) (%S+) (%S*) ?[^\\n]*\\n()'
local RUNNING = '^(%d+) PROCESSING %d+ %S+ (%d+ %d* %d* %d+) (%d+) (%d+)   (%S+) %S+  (%S* ?)(.*)$'
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
    ends[n] = {
      id, record, state, request_start > #record, dedup_key, message, keep_task, keep_index, tenant, user, shared, ARGV[i + 3], ARGV[i + 4], key, batch,
      ARGV[i + 5] == '1'
    }
    others[#others + 1] = Q .. 'dependents:' .. id
    if not others[tenant] then others[tenant], others[#others + 1] = true, Q .. 'capped:' .. tenant end
  end
  return ends
end
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
    if call('PEXPIRE', Q .. 'finished', digits[longest], 'GT') == 0 then call('PEXPIRE', Q .. 'finished', digits[longest], 'NX') end
    call('DEL', unpack(checkpoints))
  end
  return ids, answers
end`,
  'pop': `local function count_queues()
  flush_queues()
  return call('EXISTS', queue('requeued'), queue('high'), queue('normal'), queue('low'))
end
local function queue_of(id)
  flush_queues()
  for _, name in ipairs(QUEUES) do
    local score = call('ZSCORE', queue(name), id)
    if score then return name, tonumber(score) end
  end
end
local function is_placed(task)
  return queue_of(task.id) or task.state.step == 'waiting_for_dependencies' or call('ZSCORE', Q .. 'delayed', task.id) or
    call('ZSCORE', Q .. 'capped:' .. task.terms.tenant, task.id)
end
local function mend_shares()
  local mended = false
  for _, priority in ipairs(PRIORITIES) do
    if not share(priority) and call('EXISTS', queue(priority)) == 1 then
      set_share(priority, (share('clock') or 0) + STRIDE[priority])
      mended = true
    end
  end
  return mended
end
local MAX_PAGE = 50
local function head_of(name, n)
  local head = queue_heads[name]
  if not head then
    head = { used = 0, read = 0 }
    queue_heads[name] = head
  end
  if head.used == head.read and not head.is_end then
    n = math.min(n, MAX_PAGE)
    head.page, head.first = call('ZRANGE', queue(name), digits[head.read], digits[head.read + n - 1], 'WITHSCORES'), head.read
    head.read = head.read + #head.page / 2
    head.is_end = #head.page < 2 * n
    local ids = {}
    for i = 1, #head.page, 2 do ids[#ids + 1] = head.page[i] end
    fetch(ids)
  end
  if head.used < head.read then return head end
end
local function pop(n)
  if next(queue_additions) then flush_queues() end
  local best = head_of('requeued', n) and 1
  if not best then
    local due
    for i, priority in ipairs(PRIORITIES) do
      local its_due = share(priority)
      if its_due and (not due or its_due < due) and head_of(priority, n) then best, due = i + 1, its_due end
    end
    if not best then return end
  end
  local head = queue_heads[QUEUES[best]]
  local at = 2 * (head.used - head.first)
  local id, score = head.page[at + 1], tonumber(head.page[at + 2])
  head.used = head.used + 1
  if best > 1 then
    local priority = QUEUES[best]
    set_share('clock', share(priority))
    set_share(priority, share(priority) + STRIDE[priority])
    if score >= 0 and score < MAX_TURN then set_share('round:' .. priority, math.floor(score)) end
  end
  return id, best, score
end`,
  'position': `--- @include "order"
local queues_in_use
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('requeued'), id)
    return rank and rank + 1
  end
  queues_in_use = queues_in_use or call('EXISTS', queue('requeued'), queue('high'), queue('normal'), queue('low'))
  if queues_in_use == 1 then return rank + 1 end
  local turn = (share(priority) or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('requeued')) + rank
  for _, other in ipairs(PRIORITIES) do
    local due = share(other)
    if other ~= priority and due then
      local before = (turn - due) / STRIDE[other]
      before = STRIDE[other] < STRIDE[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end`,
  'queue': `--- @include "changes"
--- @include "turns"
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end
local function count_scheduled(tenant, by)
  local changes = changes_of('scheduled')
  if tenant then changes[tenant] = (changes[tenant] or 0) + by end
  changes[''] = changes[''] + by
end
local queue_additions, queue_heads = {}, {}
local function flush_queues()
  for name, head in pairs(queue_heads) do
    if head.used > 0 then call('ZREMRANGEBYRANK', queue(name), '0', digits[head.used - 1]) end
  end
  queue_heads = {}
  for name, members in pairs(queue_additions) do
    init_share(name)
    for i = 1, #members, MAX_ARGUMENTS do call('ZADD', queue(name), unpack(members, i, math.min(i + MAX_ARGUMENTS - 1, #members))) end
  end
  queue_additions = {}
end
local function add_to_queue(name, id, score)
  local members = queue_additions[name] or {}
  queue_additions[name], members[#members + 1], members[#members + 2] = members, score, id
end
local any_timed
local function is_any_timed()
  if any_timed == nil then any_timed = call('EXISTS', Q .. 'deadlines', Q .. 'delayed') > 0 end
  return any_timed
end
local function add_timed(key, time, id)
  call('ZADD', Q .. key, time, id)
  any_timed = true
end
local function enqueue_task(id, terms)
  local priority, tenant = terms.priority, terms.tenant
  local turn = math.max(turn_of(priority, tenant), share('round:' .. priority) or 0) + math.floor(ROUND / (terms.weight or 1))
  turns_of(priority)[tenant] = turn
  add_to_queue(priority, id, queue_score(turn))
  if terms.queue_timeout then add_timed('deadlines', digits[now + terms.queue_timeout], id) end
end
local function enqueue_or_delay(id, terms)
  if (terms.run_at or 0) > now then
    add_timed('delayed', terms.run_at, id)
    return 'scheduled', terms.run_at
  end
  enqueue_task(id, terms)
  return 'queued', now
end`,
  'records': `local TERMS = '^2 (%d+) (%S+) (%d*) (%S+) (%S+) (%l+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+) (%S*) ?([^\\n]*)\\n()'
local STATE = '^(%d+) (%u+) (%d+) (%S+) (%d+) (%d*) (%d*) (%d+) (%d+) (%d*) (%d*) (%S*) (%S*) (%S*) (%l*) (%S*) ?(.*)$'
local function to_word(text)
  if not string.find(text, '[%s%c%%,;]') then return text end
  return (string.gsub(text, '[%s%c%%,;]', function(c) return string.format('%%%02X', string.byte(c)) end))
end
local function decode_json(text)
  local is_json, value = pcall(cjson.decode, text)
  return is_json and type(value) == 'table' and value or nil
end
local function extras_of(state)
  if not state.extras then state.extras = {} end
  return state.extras
end
local function parse_extras(json)
  local extras = decode_json(json)
  local types = {
    run_at = 'number', queue_timeout = 'number', weight = 'number', retry_of = 'string', deps = 'list', waits = 'number', batch = 'string',
    key = 'string', code = 'string', error = 'string', steps = 'table', losses = 'number', lost_worker = 'string', has_attempts = 'boolean',
    keys = 'list', batches = 'list', retried_as = 'string', shortened = 'boolean', traceparent = 'string', tracestate = 'string'
  }
  for field, value in pairs(extras or {}) do
    local kind = types[field]
    if kind == 'list' then
      if type(value) ~= 'table' then return nil end
      for _, one in pairs(value) do
        if type(one) ~= 'string' then return nil end
      end
    elseif kind and (type(value) ~= kind or (kind == 'number' and not is_number(value))) then
      return nil
    end
  end
  return extras
end
local function initial_state(terms)
  local state = {
    version = 1, status = 'PENDING', progress = 0, step = terms.step, step_at = terms.step_at, attempt = 0, lease = 0, chart = '', worker = '', claim_id = '',
    settled_by = '', trace = ''
  }
  if terms.waits or terms.key or terms.batch then
    state.extras = { waits = terms.waits, keys = terms.key and { terms.key }, batches = terms.batch and { terms.batch } }
  end
  return state
end
local function is_status(status)
  return status == 'PENDING' or status == 'PROCESSING' or status == 'COMPLETED' or status == 'FAILED' or status == 'CANCELLED'
end
local function parse_state(text)
  local version, status, progress, step, step_at, step_from, progress_at, attempt, lease, started, completed, chart, worker, claim_id, settled_by, trace, rest =
    string.match(text, STATE)
  if not version or not is_status(status) then return nil end
  local state = {
    version = tonumber(version), status = status, progress = tonumber(progress), step = step, step_at = tonumber(step_at), step_from = tonumber(step_from),
    progress_at = tonumber(progress_at), attempt = tonumber(attempt), lease = tonumber(lease), started = tonumber(started), completed = tonumber(completed),
    chart = chart, worker = worker, claim_id = claim_id, settled_by = settled_by, trace = trace, extras = rest ~= '' and parse_extras(rest) or nil
  }
  local sum = state.version + state.progress + state.step_at + (state.step_from or 0) + (state.progress_at or 0) + state.attempt + state.lease +
    (state.started or 0) + (state.completed or 0)
  return is_number(sum) and (rest == '' or state.extras) and state or nil
end
local function state_text(s)
  return digits[s.version] .. ' ' .. s.status .. ' ' .. digits[s.progress] .. ' ' .. s.step .. ' ' .. digits[s.step_at] .. ' ' ..
    (s.step_from and digits[s.step_from] or '') .. ' ' .. (s.progress_at and digits[s.progress_at] or '') .. ' ' .. digits[s.attempt] .. ' ' ..
    digits[s.lease] .. ' ' .. (s.started and digits[s.started] or '') .. ' ' .. (s.completed and digits[s.completed] or '') .. ' ' .. s.chart .. ' ' ..
    s.worker .. ' ' .. s.claim_id .. ' ' .. s.settled_by .. ' ' .. s.trace .. (s.extras and next(s.extras) and ' ' .. cjson.encode(s.extras) or '')
end
local UNSEEN = 1000000
local function lost_state(terms, text)
  local state = initial_state(terms)
  local version = tonumber(string.match(text or '', '^(%d+) ')) or UNSEEN
  state.status, state.version = 'LOST', version < UNSEEN and version or UNSEEN
  return state
end
local function to_task(id, key, record, text)
  local first = record and string.find(record, '\\n', 1, true)
  if not first then return false end
  local created, step, step_at, dedup_key, message, priority, max, keep_task, keep_details, keep_index, backoff, tenant, user, shared, rest, request_start =
    string.match(record, TERMS, first + 1)
  if not created then return false end
  local terms = {
    created = tonumber(created), step = step, step_at = tonumber(step_at == '' and created or step_at), dedup_key = dedup_key, message = message, priority = priority, max = tonumber(max),
    keep_task = tonumber(keep_task), keep_details = tonumber(keep_details), keep_index = tonumber(keep_index), backoff = backoff,
    tenant = to_tenant(tenant, user), user = user, shared = shared
  }
  local sum = terms.created + terms.step_at + terms.max + terms.keep_task + terms.keep_details + terms.keep_index
  if not is_number(sum) or not STRIDE[priority] then return false end
  local is_readable = true
  if rest ~= '' then
    local extras = parse_extras(rest)
    is_readable = extras ~= nil
    for field, value in pairs(extras or {}) do terms[field] = value end
  end
  local had_ended = first > 1
  if had_ended then text = string.sub(record, 1, first - 1) end
  local state
  if text and is_readable then state = parse_state(text) elseif is_readable then state = initial_state(terms) end
  if had_ended and not (state and state.completed) then return false end
  if not state or (not had_ended and state.completed) then state = lost_state(terms, text) end
  return {
    id = id, key = key, terms = terms, state = state, record = record, request_start = request_start, has_request_key = request_start > #record,
    stored_state = not had_ended and text, had_ended = had_ended
  }
end`,
  'ref': `local TERMS_IN_REF = '^2 (%d+) %S+ %d* %S+ %S+ %l+ %d+ (%d+) %d+ %d+ %S+ (%S+) (%S+)'
local ENDED_IN_REF = '^%d+ (%u+) %d+ %S+ %d+ %d* %d* %d+ %d+ %d* (%d+) '
local function to_ref(id, record)
  local first = record and string.find(record, '\\n', 1, true)
  if not first then return false end
  local created, keep, tenant, user = string.match(record, TERMS_IN_REF, first + 1)
  local status, completed = string.match(record, ENDED_IN_REF)
  if not created or (completed and completed + keep <= now) then return false end
  return { id, created, completed or false }, status, user, to_tenant(tenant, user)
end
local function each_ref(ids, visit)
  for from = 1, #ids, MAX_ARGUMENTS do
    local names = {}
    for i = from, math.min(from + MAX_ARGUMENTS - 1, #ids) do names[#names + 1] = P .. 'task:' .. ids[i] end
    for i, record in ipairs(call('MGET', unpack(names))) do
      local ref, status, user = to_ref(ids[from + i - 1], record)
      if ref and visit(ref, status, user) then return end
    end
  end
end`,
  'settle-attempts': `--- @include "last-claim"
--- @include "lifecycle"
--- @include "clock-set-back"
--- @include "claim-tasks"
local function backoff(policy, attempt, random)
  local kind, delay, max, jitter = string.match(policy, '(%l+),([^,]+),([^,]+),([^,]+)')
  delay, max, jitter = to_number(delay) or 0, to_number(max) or 0, to_number(jitter) or 0
  if kind == 'exponential' then delay = delay * 2 ^ (attempt - 1) end
  return math.floor(math.min(delay, max) * (1 - jitter * random))
end
local verbs = {}
function verbs.complete(task, chart, content)
  if content ~= '' then call('SET', P .. 'chart:' .. chart, content, 'PX', digits[task.terms.keep_task]) end
  task.state.chart, task.state.progress = chart, 100
  finish(task, 'COMPLETED')
end
function verbs.fail(task, code, message, delay, random)
  local state = task.state
  if delay == 'never' or state.attempt >= task.terms.max then
    extras_of(state).code, extras_of(state).error = code, message ~= '' and message or nil
    finish(task, 'FAILED')
  else
    requeue(task, 'retrying', tonumber(delay) or backoff(task.terms.backoff, state.attempt, tonumber(random)), 'fail', code, message)
  end
end
function verbs.release(task)
  requeue(task, 'queued', 0, 'release')
end
local is_claim = ARGV[2] ~= ''
local last_claim, paused, has_deferred
if is_claim then last_claim, paused, has_deferred = read_claim_state() else has_deferred = call('GET', Q .. 'deferred') end
local ids, outcomes, own = {}, {}, {}
for i = 9, #ARGV - 1, 7 do ids[#ids + 1] = ARGV[i] end
fetch(ids)
for n, id in ipairs(ids) do
  local i = 2 + 7 * n
  local task, lease, verb = find(id), tonumber(ARGV[i + 1]), ARGV[i + 2]
  local state = task and task.state
  outcomes[n] = 'stale'
  if state and has_deferred and state.status == 'PROCESSING' and is_superseded(id, task.terms) then cancel_task(id) end
  if state and state.lease == lease and state.status == 'PROCESSING' then
    end_lease(task, verb, is_claim and claim.max_running or nil)
    verbs[verb](task, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    outcomes[n] = has_ended[id] and 'ended' or 'ok'
  elseif state and state.lease == lease and state.settled_by == verb then
    outcomes[n] = (state.status == 'COMPLETED' or state.status == 'FAILED') and 'ended' or 'ok'
  end
  own[id] = own[id] or outcomes[n] ~= 'stale'
end
cascaded = 0
local claimed
if is_claim then
  claimed = claim_tasks(own, last_claim, paused, has_deferred)
else
  claimed = finish_call({}, own, run_deferred(false) or has_deferred, {})
end
local settled = {}
for n, outcome in ipairs(outcomes) do settled[n] = outcome == 'ended' and { 'ok', task_reply(ids[n]) } or { outcome } end
return { settled, claimed }`,
  'start': `local P = KEYS[1]
local Q = P .. '2:'
--- @include "call"
local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local MAX_NUMBER = 2 ^ 53
local function is_number(value) return value >= 0 and value < MAX_NUMBER end
local function to_number(text)
  local number = tonumber(text or nil)
  return number and is_number(number) and number or nil
end
local digits = setmetatable({}, {
  __index = function(known, number)
    if number ~= number then return '0' end
    local is_exact = number % 1 == 0 and math.abs(number) < MAX_NUMBER
    local text = string.format(is_exact and '%d' or '%.0f', number)
    known[number] = text
    return text
  end
})
local MAX_INLINE_BYTES = 1024
local function to_tenant(word, user) return word == '=' and 'user:' .. user or word end
local COMPACT = '^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x[fnoptu]*[,}]'
local MAX_CLAIMED, MAX_CLAIMED_BYTES = RULES.MAX_CLAIMED, RULES.MAX_CLAIMED_BYTES
local function prolong(key, ttl)
  if call('PEXPIRE', key, ttl, 'NX') == 0 then call('PEXPIRE', key, ttl, 'GT') end
end`,
  'supersede': `local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = first_of(index)[2]
  local kept_entries = {}
  for id, terms in pairs(kept) do
    local score = terms and terms.message == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, terms) then kept_entries[#kept_entries + 1] = { id, tonumber(score), terms } end
  end
  table.sort(kept_entries, function(a, b) return a[2] > b[2] end)
  for _, one in ipairs(kept_entries) do
    local id, score, terms = unpack(one)
    local pointer_to_it, pointer = digits[score - FAR], call('ZSCORE', index, '=' .. terms.dedup_key)
    index_active(index, id, terms.dedup_key, first_of(index))
    if not pointer or digits[tonumber(pointer)] ~= pointer_to_it then clear_answer(index, terms.dedup_key) end
  end
  call('ZADD', Q .. 'superseded', newest, owner)
  for _, id in ipairs(call('ZINTER', 2, index, Q .. 'processing', 'AGGREGATE', 'MIN')) do
    if cascaded >= MAX_CASCADE then break end
    local task = find(id)
    if task and is_superseded(id, task.terms) then cancel_task(id) end
  end
end
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', Q .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MAX_CASCADE - cascaded
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  fetch(ids)
  for _, id in ipairs(ids) do
    if not cancel_task(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', Q .. 'superseded', owner) end
  return true
end`,
  'task-reply': `local function record_tail(task) return string.sub(task.record, string.find(task.record, '\\n', 1, true), -1) end
local function task_reply(id)
  local task = find_kept(id)
  if not task or task.state.status == 'LOST' then return false end
  local state = task.state
  if state.completed and state.extras and state.extras.steps and state.completed + task.terms.keep_details <= now then
    state.extras.steps = nil
    task.record = state_text(state) .. record_tail(task)
  end
  local place = state.status == 'PENDING' and position(id, task.terms.priority) or false
  return { task.record, task.stored_state, place, task.has_request_key and call('GET', request_key(id)) or nil }
end
local function reply_bytes(reply) return #reply[1] + #(reply[2] or '') + #(reply[4] or '') end`,
  'tasks': `--- @include "records"
local function request_key(id) return P .. 'request:' .. id end
local function message_index_of(terms) return P .. 'message_tasks:' .. terms.message .. ':' .. terms.user end
local tasks, new_records = {}, {}
local MAX_ARGUMENTS = 1000
local function fetch(ids)
  local missing, keys = {}, {}
  local function read()
    if #missing == 0 then return end
    local records, states = call('MGET', unpack(keys)), call('HMGET', Q .. 'states', unpack(missing))
    for i, id in ipairs(missing) do tasks[id] = to_task(id, keys[i], new_records[keys[i]] or records[i], states[i] or false) end
    missing, keys = {}, {}
  end
  for _, id in ipairs(ids) do
    if tasks[id] == nil then
      tasks[id] = false
      missing[#missing + 1], keys[#keys + 1] = id, P .. 'task:' .. id
      if #missing == MAX_ARGUMENTS then read() end
    end
  end
  read()
end
local function find(id)
  if tasks[id] == nil then fetch({ id }) end
  return tasks[id]
end
local function expires_at(task) return task.state.completed and task.state.completed + task.terms.keep_task end
local function find_kept(id)
  local task = find(id)
  return task and (expires_at(task) or math.huge) > now and task
end`,
  'tenants': `--- @include "order"
local MAX_TURN = RULES.CAPPED_RANK
local count_changes, turns = {}, {}
local function changes_of(key)
  count_changes[key] = count_changes[key] or { [''] = 0 }
  return count_changes[key]
end
local function turns_of(priority)
  turns[priority] = turns[priority] or {}
  return turns[priority]
end
local function count(key, tenant, by)
  local changes = changes_of(key)
  changes[tenant], changes[''] = (changes[tenant] or 0) + by, changes[''] + by
end
local function write_hash(key, values)
  local fields = {}
  for field, value in pairs(values) do fields[#fields + 1], fields[#fields + 2] = field, digits[value] end
  if #fields > 0 then call('HSET', Q .. key, unpack(fields)) end
end
local function write_tenants()
  for key, changes in pairs(count_changes) do
    for tenant, by in pairs(changes) do
      if by ~= 0 and call('HINCRBY', Q .. key, tenant, digits[by]) <= 0 then
        call('HDEL', Q .. key, tenant)
        if key == 'waiting' and tenant == '' then
          call('DEL', Q .. 'waiting', Q .. 'shares', Q .. 'scheduled')
          changed_shares = {}
        elseif key == 'waiting' then
          for _, priority in ipairs(PRIORITIES) do
            turns_of(priority)[tenant] = nil
            call('HDEL', Q .. 'turns:' .. priority, tenant, '+' .. tenant, '=' .. tenant)
          end
        end
      end
    end
  end
  write_hash('shares', changed_shares)
  for priority, of_tenants in pairs(turns) do write_hash('turns:' .. priority, of_tenants) end
end
local function signal_work()
  if call('LLEN', Q .. 'work_signal') > 0 then return end
  call('LPUSH', Q .. 'work_signal', 1)
  call('PEXPIRE', Q .. 'work_signal', 60000)
end`,
  'turns': `--- @include "tenants"
local ROUND = RULES.ROUND
local stored_counts = {}
local function counted(key, tenant)
  local stored, changes = stored_counts[key] or {}, count_changes[key]
  if not stored[tenant] then
    local of_tenant, of_all = unpack(call('HMGET', Q .. key, tenant, ''))
    stored[tenant], stored[''], stored_counts[key] = to_number(of_tenant) or 0, stored[''] or to_number(of_all) or 0, stored
  end
  return stored[tenant] + (changes and changes[tenant] or 0)
end
local function turn_of(priority, tenant)
  local known = turns_of(priority)
  known[tenant] = known[tenant] or to_number(call('HGET', Q .. 'turns:' .. priority, tenant)) or 0
  return known[tenant]
end
local function next_order()
  local order = (share('order') or 0) + 1
  set_share('order', order)
  return order
end
local function queue_score(turn) return string.format('%.17g', turn + next_order() % RULES.ARRIVALS / RULES.ARRIVALS) end
local function init_share(name)
  if STRIDE[name] and (not share(name) or call('EXISTS', queue(name)) == 0) then set_share(name, (share('clock') or 0) + STRIDE[name]) end
end`,
  'unrun': `local MAX_KEPT_QUERY_BYTES = RULES.MAX_KEPT_BYTES
local function shorten_request(task)
  local raw = task.has_request_key and call('GET', request_key(task.id))
  local query = raw and string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MAX_KEPT_QUERY_BYTES then value = 'null' end
  task.record, task.has_request_key = task.record .. string.sub(raw, 1, query + 19) .. value .. '}', false
  keys_to_delete[#keys_to_delete + 1] = request_key(task.id)
  extras_of(task.state).shortened = true
  change(task)
end
local function delete_task(id)
  local task = find(id)
  if not task then return end
  local terms, state = task.terms, task.state
  for _, key in ipairs(extras_of(state).keys or {}) do
    local answer = call('GET', Q .. 'idempotency:' .. key)
    if answer and string.sub(answer, 1, #id) == id then call('DEL', Q .. 'idempotency:' .. key) end
  end
  for _, batch in ipairs(extras_of(state).batches or {}) do
    local ids, key = unpack(call('HMGET', Q .. 'batch:' .. batch, 'ids', 'key'))
    if ids and call('HINCRBY', Q .. 'batch:' .. batch, 'gone', 1) > select(2, string.gsub(ids, ' ', '')) then
      call('DEL', Q .. 'batch:' .. batch, Q .. 'idempotency:' .. (key or ''))
    end
  end
  local index = message_index_of(terms)
  local score, pointer = call('ZSCORE', index, id), call('ZSCORE', index, '=' .. terms.dedup_key)
  if score and pointer and math.abs(pointer - score) == FAR then call('ZREM', index, '=' .. terms.dedup_key) end
  call('ZREM', index, id)
  call('ZREM', Q .. 'finished', id)
  call('DEL', task.key, request_key(id), Q .. 'attempts:' .. id)
  task.is_deleted, tasks[id] = true, false
end
local MAX_UNRUN, MAX_WHOLE_REQUESTS = RULES.MAX_UNRUN, RULES.MAX_WHOLE_REQUESTS
local function limit_unrun(id, tenant, keep)
  local key = Q .. 'unrun:' .. tenant
  local length = call('RPUSH', key, id)
  if length == 1 then call('PEXPIRE', key, keep) else call('PEXPIRE', key, keep, 'GT') end
  if length > MAX_WHOLE_REQUESTS then
    local old = find(call('LINDEX', key, -MAX_WHOLE_REQUESTS - 1))
    if old and old.state.completed then shorten_request(old) end
  end
  if length > MAX_UNRUN then delete_task(call('LPOP', key)) end
end`
}
