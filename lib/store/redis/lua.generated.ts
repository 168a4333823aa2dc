// Generated from lua/*.lua by scripts/generate-lua.js (npm run lua): change those, not this.

/** What a script does by itself. */
export const entries: Readonly<Record<'access' | 'batch' | 'cancel' | 'cancelAll' | 'checkpoint' | 'cleanup' | 'close' | 'contents' | 'dequeue' | 'ended' | 'enqueue' | 'extend' | 'history' | 'historyAdd' | 'inspect' | 'list' | 'lose' | 'mend' | 'message' | 'outlook' | 'pause' | 'probe' | 'progress' | 'read' | 'register' | 'settleAndClaim' | 'stats' | 'unregister' | 'workers', string>> = {
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
local t = call('HMGET', Q .. 'batch:' .. ARGV[2], 'user', 'ids')
if not t[1] or not t[2] then return { false } end
local ids, refs = {}, {}
for id in string.gmatch(t[2], '%S+') do ids[#ids + 1] = id end
each_ref(ids, function(ref) refs[#refs + 1] = ref end)
if #refs == 0 then return { false } end
return { t[1], refs }`,
  'cancel': `#!lua flags=allow-oom
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
local id = ARGV[2]
if not (find_kept(id) and cancel_task(id)) then return { task_reply(id), {}, 0 } end
local deferred = run_deferred(false)
commit()
return { task_reply(id), ended_besides({}), deferred and 1 or 0 }`,
  'cancelAll': `#!lua flags=allow-oom
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
local ids = { unpack(ARGV, 2) }
fetch(ids)
for _, id in ipairs(ids) do cancel_task(id) end
run_deferred(false)
commit()
return ended_besides({})`,
  'checkpoint': `#!lua
--- @include "base"
local id, name, value, most = ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])
local task, key = find(id), Q .. 'checkpoints:' .. id
if not task or task.state.lease ~= tonumber(ARGV[3]) or task.state.status ~= 'PROCESSING' then return 'stale' end
local bytes = #value
for i, text in ipairs(call('HGETALL', key)) do
  if i % 2 == 0 then bytes = bytes + #text end
end
bytes = bytes - call('HSTRLEN', key, name)
if most > 0 and bytes > most then return 'too_large' end
call('HSET', key, name, value)
return 'ok'`,
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
  'close': `#!lua flags=allow-oom
--- @include "close"`,
  'contents': `#!lua flags=no-writes
--- @include "base"
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
  'dequeue': `#!lua
--- @include "plain-exchange"
local any = call('EXISTS', note_of(ARGV[2]), Q .. 'waiting', Q .. 'processing', Q .. 'unsettled', Q .. 'delayed', queue('again'), queue('high'), queue('normal'), queue('low'))
if any == 0 then return { {}, {}, -1, digits[now], 0, {} } end
local _, claimed = exchange_plain(ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
if claimed then return claimed end
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
--- @include "clock"
--- @include "take"
return claim_tasks({}, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), notes_for(ARGV[2]))`,
  'ended': `#!lua flags=no-writes
--- @include "base"
--- @include "ranges"
--- @include "ref"
local mine = P .. 'message_tasks:' .. ARGV[2] .. ':' .. ARGV[3]
local since, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local PAGE, MAX_READ = 100, 2000
local ended = {}
for offset = 0, MAX_READ - PAGE, PAGE do
  local ids = call('ZREVRANGEBYSCORE', mine, LAST, string.format('%.0f', math.max(1, since)), 'LIMIT', offset, PAGE)
  each_ref(ids, function(ref)
    if tonumber(ref[3] or 0) >= since then ended[#ended + 1] = ref end
    return #ended == limit
  end)
  if #ids < PAGE or #ended == limit then break end
end
return { ended, tostring(now) }`,
  'enqueue': `#!lua
--- @include "start"
--- @include "tenants"
--- @include "index"
--- @include "plain-enqueue"
local plain = enqueue_plain()
if plain then return plain end
--- @include "base"
--- @include "queue"
--- @include "decide"
--- @include "create"
--- @include "bind"
--- @include "commit"
--- @include "weigh"
local function cancel_older(older, owners, kept)
--- @include "leave"
--- @include "finish"
  fetch(older)
  for _, id in ipairs(older) do cancel_task(id) end
  for _, owner in ipairs(owners) do supersede(owner, kept) end
  local deferred = run_deferred(#owners > 0 or call('EXISTS', Q .. 'unsettled') == 1)
  return ended_besides, deferred and 1 or 0
end
local room = 2 ^ 20
local function known_task(id)
  if room <= 0 then return find_kept(id) and id end
  local known = task_reply(id)
  if known then room = room - reply_bytes(known) end
  return known
end
local function to_request(i)
  local waiting, ready, scheduled, inside, timeout, weight = string.match(ARGV[i + 2], '(%d+) (%d+) (%d+) (%d) (%d+) (%d+)')
  local key, body = string.match(ARGV[i + 3], '(%S+) (%S+)')
  local request = {
    user = ARGV[i], tenant = ARGV[i + 1], key = key or '', body = body or '', batch = ARGV[i + 4], stores_content = inside == '1', drafts = {},
    limits = { waiting = tonumber(waiting), ready = tonumber(ready), scheduled = tonumber(scheduled) },
    terms = { tenant = ARGV[i + 1], queue_timeout = timeout ~= '0' and tonumber(timeout) or nil, weight = tonumber(weight) }
  }
  local n = tonumber(ARGV[i + 5])
  i = i + PER_REQUEST
  for d = 1, n do
    local rest = ARGV[i + 4] == '' and {} or cjson.decode(ARGV[i + 4])
    local message, priority = string.match(ARGV[i + 1], '^(%S+) (%l+)')
    request.drafts[d] = {
      id = ARGV[i], message = message, user = request.user, head = ARGV[i + 1], dedup_key = ARGV[i + 2], force = rest.force, request = ARGV[i + 3],
      chart_check = rest.asked or '', kept = rest.kept, priority = priority, run_at = rest.run_at or 0, supersede = rest.supersede,
      needs = rest.needs or '', retry_of = rest.retry_of or '', extras = rest.few or {}
    }
    i = i + PER_DRAFT
  end
  return request, i
end
local function find_repeated(request)
  local drafts, batch, key = request.drafts, request.batch, request.key
  local before = drafts[1].known and drafts[1].id
  if batch ~= '' then before = call('HGET', Q .. 'batch:' .. batch, 'ids') end
  if before then
    return function()
      local repeated = {}
      for id in string.gmatch(before, '%S+') do
        local task = find(id)
        local outcome = task and task.state.completed and 'chart_exists' or 'already_active'
        if id == drafts[#repeated + 1].id then outcome = 'queued' end
        repeated[#repeated + 1] = { outcome, known_task(id) }
      end
      return { 'accepted', repeated, {} }
    end
  end
  local seen = key ~= '' and call('GET', Q .. 'idempotency:' .. key)
  if not seen then return end
  local bound, ids = string.sub(seen, 1, 36), {}
  for id in string.gmatch(call('HGET', Q .. 'batch:' .. bound, 'ids') or bound, '%S+') do
    if find_kept(id) then ids[#ids + 1] = id end
  end
  if #ids == 0 then return end
  if string.sub(seen, 37) ~= request.body then return { 'key_reused' } end
  return function()
    local found = {}
    for n, id in ipairs(ids) do found[n] = { 'replayed', known_task(id) } end
    return { 'replayed', found, {}, bound }
  end
end
local function accept(request, any_replaced)
  local drafts, user, tenant, batch, key = request.drafts, request.user, request.tenant, request.batch, request.key
  local repeated = find_repeated(request)
  if repeated then return repeated end
  local by_id, fresh, unchecked = match_duplicates(drafts, request.stores_content, any_replaced)
  if unchecked then return unchecked end
  local refusal = batch ~= '' and find_too_many_batches(drafts) or resolve_dependencies(by_id, fresh, user, any_replaced)
  if refusal then return refusal end
  local older, owners, kept = find_superseded(drafts, user)
  refusal = find_exceeded_limit(fresh, older, owners, kept, tenant, request.limits)
  if refusal then return refusal end
  local superseded, deferred = nil, 0
  if #older + #owners > 0 then superseded, deferred = cancel_older(older, owners, kept) end
  for _, draft in ipairs(fresh) do create(draft, user, tenant, request.terms, batch, key, any_replaced or #owners > 0) end
  if #fresh > 0 then notify_workers() end
  bind(drafts, user, batch, key, request.body)
  return function()
    local answers = {}
    for i, draft in ipairs(drafts) do
      if draft.fresh then
        local place = draft.step == 'queued' and position(draft.id, draft.priority) or false
        answers[i] = { 'queued', false, digits[now], draft.step, digits[draft.at], place, table.concat(draft.deps, ' ') }
      else
        answers[i] = { draft.outcome, known_task(draft.becomes) }
      end
    end
    return { 'accepted', answers, superseded and superseded({}) or {}, false, deferred }
  end
end
local requests, names, i = {}, { Q .. 'superseded' }, 2
while i <= #ARGV do
  requests[#requests + 1], i = to_request(i)
  for _, draft in ipairs(requests[#requests].drafts) do names[#names + 1] = P .. 'task:' .. draft.id end
end
local any_replaced = false
if call('EXISTS', unpack(names)) > 0 then
  any_replaced = call('EXISTS', Q .. 'superseded') == 1
  for _, request in ipairs(requests) do
    for _, draft in ipairs(request.drafts) do draft.known = call('EXISTS', P .. 'task:' .. draft.id) == 1 end
  end
end
local answers = {}
for n, request in ipairs(requests) do answers[n] = accept(request, any_replaced) end
if #records > 0 then
  write_dependents()
  write_new()
end
commit()
for n, answer in ipairs(answers) do
  if type(answer) == 'function' then answers[n] = answer() end
end
return answers`,
  'extend': `#!lua flags=allow-oom
--- @include "base"
--- @include "clock"
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
  'history': `#!lua flags=no-writes
--- @include "start"
--- @include "history"
local first = tonumber(ARGV[2])
local function read(kind)
  local found = {}
  for back = first, first + tonumber(ARGV[3]) - 1 do
    for _, text in ipairs(call('HGETALL', hour_of(kind, now - back * HOUR))) do found[#found + 1] = text end
  end
  return found
end
return { tostring(now), read('history'), ARGV[4] == '1' and read('failed') or {} }`,
  'historyAdd': `#!lua
--- @include "start"
--- @include "history"
local MAX_CODES, MAX_LATEST = RULES.MAX_CODES, RULES.MAX_LATEST
local MAX_REPEATED = 3600000
local mark = Q .. 'counted:' .. ARGV[2]
if call('GET', mark) == ARGV[3] then return 0 end
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
local function merged(known, added)
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
    values[code] = merged(values[code] or '', entries)
  end)
  return to_text(values)
end
for i = 5, #ARGV, 3 do
  local minute, counts, latest = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key, text, renamed = hour_of('history', tonumber(minute)), nil, nil
  text, renamed = add_counts(call('HGET', key, minute) or '', counts)
  call('HSET', key, minute, text)
  call('PEXPIRE', key, ARGV[4])
  if latest ~= '' then
    key = hour_of('failed', tonumber(minute))
    call('HSET', key, minute, add_latest(call('HGET', key, minute) or '', latest, renamed))
    call('PEXPIRE', key, ARGV[4])
  end
end
call('SET', mark, ARGV[3], 'PX', digits[MAX_REPEATED])
return 1`,
  'inspect': `#!lua flags=no-writes
--- @include "base"
local found = task_reply(ARGV[2])
return { found, found and call('LRANGE', Q .. 'attempts:' .. ARGV[2], 0, -1) or nil }`,
  'list': `#!lua flags=no-writes
--- @include "base"
--- @include "weigh"
--- @include "ref"
local status, user, tenant, most, index, score, last = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local code, after, before, is_unfinished = ARGV[9], tonumber(ARGV[10]) or -math.huge, tonumber(ARGV[11]) or math.huge, ARGV[12] == '1'
local PAGE, MAX_READ, MAX_BYTES = 100, RULES.MAX_LISTED, RULES.MAX_LISTED_BYTES
local FINISHED = { COMPLETED = true, FAILED = true, CANCELLED = true }
local function has_failed_with(record)
  return string.find(string.sub(record, 1, string.find(record, '\\n', 1, true)), '"code":"' .. code .. '"', 1, true) ~= nil
end
local function find_fitting(ids)
  local keys, fitting = {}, {}
  for i, id in ipairs(ids) do keys[i] = P .. 'task:' .. id end
  local records = #ids > 0 and call('MGET', unpack(keys)) or {}
  local states = #ids > 0 and status ~= '' and not FINISHED[status] and call('HMGET', Q .. 'states', unpack(ids)) or {}
  for i, id in ipairs(ids) do
    local ref, ended_as, its_user, its_tenant = to_ref(id, records[i])
    local its_status = ended_as or (states[i] and string.match(states[i], '^%d+ (%u+)')) or 'PENDING'
    local created = ref and tonumber(ref[2])
    fitting[id] = ref and (status == '' or its_status == status) and (user == '' or its_user == user) and (tenant == '' or its_tenant == tenant) and
      created >= after and created < before and (code == '' or has_failed_with(records[i]))
  end
  return fitting
end
local function first_of(key)
  if index ~= key then return key == 'active' and before < math.huge and call('ZCOUNT', Q .. key, digits[before], '+inf') or 0 end
  local rank = call('ZREVRANK', Q .. key, last)
  return rank and rank + 1 or call('ZCOUNT', Q .. key, '(' .. score, '+inf')
end
local records, bytes, looked, reached = {}, 0, 0, false
for _, key in ipairs({ 'active', 'finished' }) do
  local wanted = (status == '' or (FINISHED[status] or false) == (key == 'finished')) and not (is_unfinished and key == 'finished')
  local from = first_of(key)
  while wanted and not (index == 'finished' and key == 'active') do
    local page = call('ZREVRANGE', Q .. key, from, from + PAGE - 1, 'WITHSCORES')
    local ids = {}
    for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
    local fitting = find_fitting(ids)
    for i = 1, #page, 2 do
      local known = fitting[page[i]] and task_reply(page[i])
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
  'lose': `#!lua flags=allow-oom
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
local MAX_READ = 1000
local unreadable = {}
for i = 3, #ARGV do unreadable[ARGV[i]] = true end
local function is_readable(task)
  local request = decoded(task.apart and (call('GET', request_key(task.id)) or '') or string.sub(task.record, task.request))
  return request and type(request.task_id) == 'string' and type(request.message_id) == 'string' and type(request.user_id) == 'string'
end
local ids = call('ZREVRANGE', Q .. 'processing', 0, MAX_READ - 1)
fetch(ids)
for _, id in ipairs(ids) do
  local task = find(id)
  if task and task.state.status == 'PROCESSING' and task.state.claim == ARGV[2] and unreadable[task.record] and not is_readable(task) then
    task.state.attempt = task.state.attempt - 1
    fail_lost(task, false)
  end
end
run_deferred(false)
commit()
return ended_besides({})`,
  'mend': `#!lua flags=allow-oom
--- @include "base"
--- @include "queue"
--- @include "counts"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
local PAGE, KEYS_ASKED = 50, 150
local GRACE_MS, MAX_LEASE_MS = 60000, 86400000
local mended = 0
local function note_mended() mended = mended + 1 end
local told = {}
local function leave_to_claim(entry)
  if told[entry] then return end
  told[entry] = true
  call('RPUSH', Q .. 'untold', entry)
  note_mended()
end
local function forget_traces(id)
  for _, name in ipairs(QUEUES) do call('ZREM', queue(name), id) end
  for _, key in ipairs({ 'active', 'processing', 'delayed', 'deadlines' }) do call('ZREM', Q .. key, id) end
  call('HDEL', Q .. 'states', id)
  call('DEL', P .. 'task:' .. id, request_key(id), Q .. 'attempts:' .. id, Q .. 'checkpoints:' .. id)
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
        if call('EXISTS', Q .. 'untold') == 0 then leave_to_claim(dep .. '+') end
      elseif status ~= 'PENDING' and status ~= 'PROCESSING' and status ~= 'LOST' and call('EXISTS', Q .. 'untold') == 0 then
        leave_to_claim(dep)
      end
    end
    seen[dep] = true
  end
  if left == 0 and task.terms.deps and task.terms.deps[1] then
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
local function is_far(priority, tenant, turn)
  return turn < 0 or turn >= MAX_TURN or turn > (share('round:' .. priority) or 0) + ROUND * (2 * counted('waiting', tenant) + 100)
end
local function check_queued(task)
  local id, terms, state = task.id, task.terms, task.state
  local name, score = queue_of(id)
  if name and (name == 'again') ~= (state.lease > 0) then
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
    if delayed and tonumber(delayed) > state.at then
      put_score(Q .. 'delayed', state.at, id)
    elseif not delayed and not is_placed(task) then
      put_score(Q .. 'delayed', state.at, id)
    end
  elseif state.lease == 0 and (delayed or call('ZSCORE', Q .. 'processing', id)) then
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
local function look_at_active(from)
  local key = Q .. 'active'
  local ids, before = call('ZRANGE', key, from, from + PAGE - 1), call('ZCARD', key)
  fetch(ids)
  for _, id in ipairs(ids) do check(id) end
  if #ids < PAGE then return 's:0' end
  return 'a:' .. digits[from + PAGE - (before - call('ZCARD', key))]
end
local function look_at_record(id)
  if call('ZSCORE', Q .. 'active', id) or call('ZSCORE', Q .. 'finished', id) then return end
  local task = find(id)
  if not task then return end
  if task.state.completed then
    put_score(Q .. 'finished', expires_at(task), id)
  else
    put_score(Q .. 'active', task.terms.created, id)
    check(id)
  end
end
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
local BATCHES, BOUND = Q .. 'batch:', Q .. 'idempotency:'
local function look_at_binding(key)
  local names, bound = {}, { key }
  if string.sub(key, 1, #BATCHES) == BATCHES then
    local ids, idempotency = unpack(call('HMGET', key, 'ids', 'key'))
    for id in string.gmatch(ids or '', '%S+') do
      if #names < MAX_FETCHED then names[#names + 1] = P .. 'task:' .. id end
    end
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
  local ok = redis.pcall('SCAN', cursor, 'MATCH', (string.gsub(P, '[%*%?%[%]\\\\]', '\\\\%0')) .. '*', 'COUNT', KEYS_ASKED)
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
return { cursor, mended, wrong }`,
  'message': `#!lua flags=no-writes
--- @include "base"
--- @include "ranges"
--- @include "ref"
local mine = P .. 'message_tasks:' .. ARGV[2] .. ':' .. ARGV[3]
local limit = tonumber(ARGV[5])
local PAGE, MAX_READ = 100, 1000
local active = {}
each_ref(call('ZRANGEBYSCORE', mine, FIRST, '(0', 'LIMIT', 0, limit), function(ref) active[#active + 1] = ref end)
if ARGV[6] then return { active } end
local found = { COMPLETED = {}, FAILED = {} }
local offset = 0
while offset < MAX_READ and (#found.COMPLETED < limit or #found.FAILED < limit) do
  local ids = call('ZREVRANGEBYSCORE', mine, LAST, '(0', 'LIMIT', offset, PAGE)
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
  'outlook': `#!lua flags=no-writes
--- @include "base"
local MAX_FOUND, MAX_READ, PAGE = RULES.MAX_IN_SNAPSHOT, RULES.MAX_SNAPSHOT_SEARCHED, 100
local since
for _, name in ipairs(QUEUES) do
  local head = find(call('ZRANGE', queue(name), 0, 0)[1] or '')
  if head and (not since or head.state.at < since) then since = head.state.at end
end
local RUNNING, COMPLETED = '^%d+ PROCESSING %d+ (%S+) (%d+)', '^%d+ COMPLETED %d+ %S+ %d+ %d* %d* %d+ %d+ %d* (%d+) %S* %S* %S* %l* (%S*)'
local running, ids = {}, call('ZRANGE', Q .. 'processing', 0, MAX_FOUND - 1)
for _, text in ipairs(#ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}) do
  local step, at = string.match(text or '', RUNNING)
  if step then running[#running + 1] = { step, at } end
end
local completed = {}
for from = 0, MAX_READ - 1, PAGE do
  ids = call('ZREVRANGEBYSCORE', Q .. 'finished', '+inf', '(' .. digits[now], 'LIMIT', from, PAGE)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = P .. 'task:' .. id end
  for _, record in ipairs(#ids > 0 and call('MGET', unpack(keys)) or {}) do
    local ended_at, trace = string.match(record or '', COMPLETED)
    if ended_at and #completed < MAX_FOUND then completed[#completed + 1] = { trace, ended_at } end
  end
  if #completed == MAX_FOUND or #ids < PAGE then break end
end
return { tostring(now), call('EXISTS', Q .. 'paused'), since and tostring(since) or false, call('ZCARD', Q .. 'processing'), running, completed }`,
  'pause': `#!lua flags=allow-oom
--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "commit"
if ARGV[2] == '1' then
  call('SET', Q .. 'paused', now)
elseif call('DEL', Q .. 'paused') == 1 and any_queued() then
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
local function put(steps, first, last)
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
  local moved = put(steps, first, last)
  if #steps > 0 then extras_of(state).steps = steps end
  local begins = step ~= '' and step ~= state.step
  if not (moved or begins or reached > state.progress) then return end
  state.progress, state.progress_at = reached, now
  if begins then
    state.step, state.at, state.from = step, now, reached
    if select(2, string.gsub(state.trace, ';', '')) < MAX_STEPS - 1 then state.trace = state.trace .. ';' .. step .. ',' .. digits[now] .. ',' .. digits[reached] end
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
  if current then report(task, tonumber(ARGV[i + 2]), word(ARGV[i + 3]), i + 5, i + 4 + 2 * n) end
  answers[#answers + 1] = current and 1 or 0
  i = i + 5 + 2 * n
end
commit()
return answers`,
  'read': `#!lua flags=no-writes
--- @include "base"
--- @include "weigh"
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
local indexed = tonumber(ARGV[3])
for i = 5, #ARGV, 2 do
  call('SET', Q .. 'worker:' .. ARGV[i], digits[now] .. ' ' .. ARGV[i + 1], 'PX', ARGV[2])
  if indexed > 0 then call('ZADD', Q .. 'workers', digits[now + indexed], ARGV[i]) end
end
if indexed > 0 then
  call('ZREMRANGEBYSCORE', Q .. 'workers', '-inf', digits[now])
  call('PEXPIRE', Q .. 'workers', ARGV[3])
end
if ARGV[4] ~= '' then call('PUBLISH', ARGV[4], '') end
return 1`,
  'settleAndClaim': `#!lua
--- @include "plain-exchange"
local settled, claimed = exchange_plain(ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
if settled then return { settled, claimed } end
--- @include "close"`,
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
local RUNNING, MESSAGE = '^%d+ PROCESSING (%d+) (%S+) %d+ %d* %d* (%d+) %d+ %d* %d* %S* (%S*) %S* %l* [^, ]*,(%d+)', '^2 %d+ %S+ %d+ %S+ (%S+)'
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
  'base': `--- @include "start"
--- @include "order"
--- @include "tasks"
--- @include "shown"`,
  'bind': `local function note(task, field, value)
  local extras = extras_of(task.state)
  local list = extras[field] or {}
  for _, known in ipairs(list) do
    if known == value then return false end
  end
  extras[field], list[#list + 1] = list, value
  change(task)
  return true
end
local function bind(drafts, user, batch, key, body)
  if batch == '' and key == '' then return end
  local ids, unfinished, last, has_refused_ref = {}, 0, now, false
  for i, draft in ipairs(drafts) do
    local id = draft.becomes
    ids[i] = id
    if draft.fresh then
      unfinished = unfinished + 1
    elseif not draft.is_duplicate then
      local task = find(id)
      local until_then = expires_at(task)
      if until_then then last = math.max(last, until_then) end
      if batch == '' then
        if count_refs(id, 'keys') >= MAX_REFS then return end
        note(task, 'keys', key)
        unfinished = until_then and 0 or 1
      elseif until_then and count_refs(id, 'batches') >= MAX_REFS then
        has_refused_ref = true
      elseif note(task, 'batches', batch) and not until_then then
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
  if has_refused_ref then last = math.min(last, now + 60000) end
  for _, name in ipairs(unfinished == 0 and bound or {}) do call('PEXPIRE', name, last - now) end
end`,
  'call': `local protected_call = redis.pcall
local function without_damage(failure, command, key, ...)
  local why, deleted = failure.err
  if string.find(why, 'WRONGTYPE', 1, true) then
    deleted = command ~= 'ZINTER' and protected_call('DEL', key)
  elseif command == 'HINCRBY' and (string.find(why, 'not an integer', 1, true) or string.find(why, 'overflow', 1, true)) then
    deleted = protected_call('HDEL', key, (...))
  else
    error(failure)
  end
  if type(deleted) == 'number' then return redis.call(command, key, ...) end
  if string.find(' GET HGET ZSCORE ZRANK ZREVRANK LINDEX ', ' ' .. command .. ' ', 1, true) then return false end
  if string.find(' STRLEN HSTRLEN ZCARD ZCOUNT LLEN ', ' ' .. command .. ' ', 1, true) then return 0 end
  return {}
end
local function call(...)
  local reply = protected_call(...)
  if type(reply) == 'table' and reply.err then return without_damage(reply, ...) end
  return reply
end`,
  'clock': `--- @include "expected"
local MAX_SHIFTED = 1000
local function shift(key, by, shifts)
  local due = call('ZRANGE', Q .. key, 0, MAX_SHIFTED - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    if not shifts or shifts(due[i]) then call('ZADD', Q .. key, due[i + 1] - by, due[i]) end
  end
end
local function set_back(by)
  local mended = tonumber(call('GET', Q .. 'set_back') or nil)
  if mended and math.abs(mended - by) <= CLOCK_TOLERANCE_MS then return end
  call('SET', Q .. 'set_back', by, 'PX', 600000)
  shift('processing', by)
  shift('deadlines', by)
  shift('delayed', by, function(id)
    local task = find(id)
    return task and task.state.step == 'retrying'
  end)
end
if expected_now and expected_now - now > CLOCK_TOLERANCE_MS then set_back(expected_now - now) end`,
  'close': `--- @include "base"
--- @include "queue"
--- @include "index"
--- @include "leave"
--- @include "finish"
--- @include "commit"
--- @include "clock"
--- @include "take"
local function backoff(policy, attempt, random)
  local kind, delay, max, jitter = string.match(policy, '(%l+),([^,]+),([^,]+),([^,]+)')
  delay, max, jitter = to_count(delay), to_count(max), to_count(jitter)
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
local closed, own, cap, ids = {}, {}, ARGV[2] ~= '' and tonumber(ARGV[6]) or nil, {}
local notes = ARGV[2] ~= '' and notes_for(ARGV[2]) or { false, false, call('GET', Q .. 'unsettled') }
for i = 9, #ARGV - 1, 7 do ids[#ids + 1] = ARGV[i] end
fetch(ids)
for n, id in ipairs(ids) do
  local i = 2 + 7 * n
  local task, lease, verb = find(id), tonumber(ARGV[i + 1]), ARGV[i + 2]
  local state = task and task.state
  closed[n] = 'stale'
  if state and notes[3] and state.status == 'PROCESSING' and is_superseded(id, task.terms) then cancel_task(id) end
  if state and state.lease == lease and state.status == 'PROCESSING' then
    end_lease(task, verb, cap)
    verbs[verb](task, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    closed[n] = has_ended[id] and 'ended' or 'ok'
  elseif state and state.lease == lease and state.settled_by == verb then
    closed[n] = (state.status == 'COMPLETED' or state.status == 'FAILED') and 'ended' or 'ok'
  end
  own[id] = own[id] or closed[n] ~= 'stale'
end
cascaded = 0
local function answers()
  local replies = {}
  for n, answer in ipairs(closed) do replies[n] = answer == 'ended' and { 'ok', task_reply(ids[n]) } or { answer } end
  return replies
end
local rest
if ARGV[2] == '' then
  rest = finish_call({}, own, run_deferred(false) or notes[3], {})
else
  rest = claim_tasks(own, ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), notes)
end
return { answers(), rest }`,
  'commit': `local function write_tasks()
  local texts, ended_ids = {}, {}
  for _, task in ipairs(changed_tasks) do
    local text, until_then = task.hint or to_text(task.state), expires_at(task)
    if task.gone then
      ended_ids[#ended_ids + 1] = task.id
    elseif until_then then
      task.record, task.text = text .. body_of(task), false
      if task.had_ended then
        call('SET', task.key, task.record, 'KEEPTTL')
      else
        call('SET', task.key, task.record, 'PX', digits[task.terms.keep_task])
      end
      ended_ids[#ended_ids + 1] = task.id
    else
      task.text, texts[#texts + 1], texts[#texts + 2] = text, task.id, text
    end
  end
  for i = 1, #texts, 2 * MAX_FETCHED do call('HSET', Q .. 'states', unpack(texts, i, math.min(i + 2 * MAX_FETCHED - 1, #texts))) end
  for i = 1, #ended_ids, MAX_FETCHED do call('HDEL', Q .. 'states', unpack(ended_ids, i, math.min(i + MAX_FETCHED - 1, #ended_ids))) end
  for i = 1, #hints, 2 do call('PUBLISH', P .. 'updates:' .. hints[i], hints[i + 1]) end
end
local function write_index(key, scores)
  local added, removed = {}, {}
  for id, score in pairs(scores) do
    if score then
      added[#added + 1], added[#added + 2] = digits[score], id
    else
      removed[#removed + 1] = id
    end
    if #added + #removed >= MAX_FETCHED then
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
  write_index(Q .. 'processing', lease_changes)
  write_index(Q .. 'active', active_changes)
  write_index(Q .. 'finished', finished_changes)
  if finished_ttl > 0 then prolong(Q .. 'finished', digits[finished_ttl]) end
  write_tenants()
  for i = 1, #keys_to_delete, MAX_FETCHED do call('DEL', unpack(keys_to_delete, i, math.min(i + MAX_FETCHED - 1, #keys_to_delete))) end
  if must_signal_work then signal_work() end
end`,
  'counts': `local MAX_COUNTED = 2000
local TENANT, STEP = '^2 %d+ (%S+) %d+ %S+ %S+ %l+ %d+ %d+ %d+ %d+ %S+ (%S+)', '^%d+ (%u+) %d+ (%S+)'
local function recount()
  local ids = call('ZRANGE', Q .. 'active', 0, -1)
  local truth = { waiting = { [''] = 0 }, running = { [''] = 0 }, scheduled = { [''] = call('ZCARD', Q .. 'delayed') } }
  local runs = {}
  for _, id in ipairs(call('ZRANGE', Q .. 'processing', 0, MAX_COUNTED)) do runs[id] = true end
  local function tally(key, tenant, total)
    truth[key][tenant] = (truth[key][tenant] or 0) + 1
    if total then truth[key][''] = truth[key][''] + 1 end
  end
  for from = 1, #ids, MAX_FETCHED do
    local names = {}
    for i = from, math.min(from + MAX_FETCHED - 1, #ids) do names[#names + 1] = P .. 'task:' .. ids[i] end
    local states = call('HMGET', Q .. 'states', unpack(ids, from, from + #names - 1))
    for i, record in ipairs(call('MGET', unpack(names))) do
      local first = record and string.find(record, '\\n', 1, true)
      local step, tenant = string.match(record or '', TENANT, (first or 0) + 1)
      local known, last = string.match(states[i] or '', STEP)
      if tenant and (known == 'PROCESSING' or runs[ids[from + i - 1]]) then
        tally('running', tenant, true)
      elseif tenant and first == 1 then
        step = known and last or step
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
local function mend_counts()
  local unfinished = call('ZCARD', Q .. 'active')
  local truth = unfinished <= MAX_COUNTED and recount()
  for key in pairs(stored) do
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
  for key in pairs(stored) do stored[key] = {} end
end`,
  'create': `local dependents = {}
local function depend(id, dep, order)
  local members = dependents[dep] or {}
  dependents[dep], members[#members + 1], members[#members + 2] = members, order, id
end
local function write_dependents()
  for dep, members in pairs(dependents) do call('ZADD', Q .. 'dependents:' .. dep, unpack(members)) end
end
local messages_with_new_tasks, records = {}, {}
local function write_new()
  for i = 1, #records, MAX_FETCHED do call('MSET', unpack(records, i, math.min(i + MAX_FETCHED - 1, #records))) end
  for owner in pairs(messages_with_new_tasks) do call('PUBLISH', P .. 'message:' .. owner, '') end
end
local function create(draft, user, tenant, terms, batch, key, any_replaced)
  local id, extras = draft.id, draft.extras
  draft.step, draft.at = 'waiting_for_dependencies', now
  count('waiting', tenant, 1)
  if #draft.waits == 0 then
    terms.priority, terms.run_at = draft.priority, draft.run_at
    draft.step, draft.at = enqueue_or_delay(id, terms)
  end
  if draft.step ~= 'queued' then count_scheduled(tenant, 1) end
  local order = #draft.waits > 0 and next_order()
  for _, dep in ipairs(draft.waits) do depend(id, dep, order) end
  if #draft.deps > 0 then extras.deps = draft.deps end
  if #draft.waits > 0 then extras.waits = #draft.waits end
  if batch ~= '' then extras.batch = batch elseif key ~= '' then extras.key = key end
  local record = '\\n2 ' .. digits[now] .. ' ' .. draft.step .. ' ' .. digits[draft.at] .. ' ' .. draft.dedup_key .. ' ' .. draft.head ..
    (next(extras) and ' ' .. cjson.encode(extras) or '') .. '\\n'
  if #draft.request <= MAX_INLINE then
    record = record .. draft.request
  else
    records[#records + 1], records[#records + 2] = request_key(id), draft.request
  end
  local name = P .. 'task:' .. id
  records[#records + 1], records[#records + 2], new_records[name], tasks[id] = name, record, record, nil
  local failed = draft.retry_of ~= '' and find(draft.retry_of)
  if failed then
    extras_of(failed.state).retried_as = id
    change(failed)
  end
  active_changes[id] = now
  local owner = draft.message .. ':' .. user
  local index = P .. 'message_tasks:' .. owner
  local is_shared = has_dedup_key(index, draft.dedup_key)
  index_active(index, id, draft.dedup_key, first_of(index), any_replaced and call('ZSCORE', Q .. 'superseded', owner))
  if is_shared then mark_shared(index, draft.dedup_key) end
  messages_with_new_tasks[owner] = true
end`,
  'decide': `local MAX_LOOKED_AT = 1000
local function answers_draft(id, draft, any_replaced)
  local task = find_kept(id)
  if not task or task.terms.dedup_key ~= draft.dedup_key then return end
  local status, chart = task.state.status, task.state.chart
  if status == 'PENDING' or status == 'PROCESSING' then return not (any_replaced and is_superseded(id, draft)) and 'already_active' or nil end
  if status == 'COMPLETED' and (chart ~= draft.chart_check or draft.kept) then return 'chart_exists', chart end
end
local function find_newest_duplicate(key, draft, any_replaced)
  for _, range in ipairs({ { 'ZRANGEBYSCORE', FIRST, '(0' }, { 'ZREVRANGEBYSCORE', LAST, '(0' } }) do
    local verb, from, to = unpack(range)
    for offset = 0, MAX_LOOKED_AT - MAX_FETCHED, MAX_FETCHED do
      local ids = call(verb, key, from, to, 'LIMIT', offset, MAX_FETCHED)
      fetch(ids)
      for _, id in ipairs(ids) do
        local outcome, chart = answers_draft(id, draft, any_replaced)
        if outcome then
          local score = call('ZSCORE', key, id)
          call('ZADD', key, digits[score + (outcome == 'chart_exists' and FAR or -FAR)], '=' .. draft.dedup_key)
          return id, outcome, chart
        end
      end
      if #ids < MAX_FETCHED then break end
    end
  end
  call('ZREM', key, '=' .. draft.dedup_key, '+' .. draft.dedup_key)
end
local function find_duplicate(draft, stores_content, any_replaced)
  local key = messages_of(draft)
  local pointer = call('ZSCORE', key, '=' .. draft.dedup_key)
  local score = pointer and digits[pointer + (tonumber(pointer) < 0 and FAR or -FAR)]
  local id, outcome, chart = score and call('ZRANGEBYSCORE', key, score, score, 'LIMIT', '0', '1')[1], nil, nil
  if id then outcome, chart = answers_draft(id, draft, any_replaced) end
  if not outcome and call('ZSCORE', key, '+' .. draft.dedup_key) then id, outcome, chart = find_newest_duplicate(key, draft, any_replaced) end
  if outcome ~= 'chart_exists' then return outcome and id, outcome end
  if stores_content and call('EXISTS', P .. 'chart:' .. chart) == 0 then return end
  return id, outcome, not stores_content and chart ~= draft.chart_check and chart or nil
end
local function match_duplicates(drafts, stores_content, any_replaced)
  local by_id, planned, fresh, unchecked = {}, {}, {}, {}
  for _, draft in ipairs(drafts) do by_id[draft.id] = draft end
  local function match(draft)
    if draft.deps then return end
    draft.deps = {}
    for need in string.gmatch(draft.needs, '%S+') do
      if by_id[need] then match(by_id[need]) end
      draft.deps[#draft.deps + 1] = by_id[need] and by_id[need].becomes or need
    end
    if #draft.deps > 0 then draft.dedup_key = redis.sha1hex(draft.dedup_key .. ' ' .. table.concat(draft.deps, ' ')) end
    if planned[draft.dedup_key] and not draft.force and not draft.known then
      draft.becomes, draft.outcome, draft.is_duplicate = planned[draft.dedup_key], 'already_active', true
    elseif not draft.force and not draft.known then
      local chart
      draft.becomes, draft.outcome, chart = find_duplicate(draft, stores_content, any_replaced)
      if chart then unchecked[#unchecked + 1] = { draft.id, chart } end
    end
    if not draft.becomes then
      draft.becomes, draft.outcome, draft.fresh = draft.id, 'queued', not draft.known
      planned[draft.dedup_key] = draft.id
    end
  end
  for _, draft in ipairs(drafts) do match(draft) end
  for _, draft in ipairs(drafts) do
    if draft.fresh then fresh[#fresh + 1] = draft end
  end
  return by_id, fresh, #unchecked > 0 and { 'charts_unasked', unchecked }
end
local function dependency_status(dep, user, any_replaced)
  local task = find_kept(dep)
  if not task or task.terms.user ~= user then return 'unknown' end
  local status = task.state.status
  if status == 'FAILED' or status == 'CANCELLED' or status == 'LOST' or (any_replaced and is_superseded(dep, task.terms)) then return 'failed' end
  return status == 'COMPLETED' and 'completed' or 'open'
end
local function resolve_dependencies(by_id, fresh, user, any_replaced)
  local needed, judged = {}, {}
  for _, draft in ipairs(fresh) do
    for _, dep in ipairs(draft.deps) do
      if not judged[dep] then
        judged[dep] = by_id[dep] and by_id[dep].fresh and 'open' or 'unread'
        needed[#needed + 1] = judged[dep] == 'unread' and dep or nil
      end
    end
  end
  fetch(needed)
  for _, draft in ipairs(fresh) do
    draft.waits = {}
    local needs = string.gmatch(draft.needs, '%S+')
    for _, dep in ipairs(draft.deps) do
      local need = needs()
      if judged[dep] == 'unread' then judged[dep] = dependency_status(dep, user, any_replaced) end
      if judged[dep] == 'unknown' or judged[dep] == 'failed' then return { 'dependency_' .. judged[dep], need } end
      if judged[dep] == 'open' and not draft.waits[dep] then
        draft.waits[dep], draft.waits[#draft.waits + 1] = true, dep
      end
    end
  end
end
local MAX_REFS = RULES.MAX_ANSWERED
local function count_refs(id, field)
  local task = find(id)
  return task and #(extras_of(task.state)[field] or {}) or 0
end
local function find_too_many_batches(drafts)
  for _, draft in ipairs(drafts) do
    if draft.outcome == 'already_active' and count_refs(draft.becomes, 'batches') >= MAX_REFS then return { 'task_crowded', draft.id } end
  end
end
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
local MAX_SUPERSEDED_NOW = RULES.MAX_MOVED
local function find_superseded(drafts, user)
  local kept, owners, seen, count = {}, {}, {}, 0
  for _, draft in ipairs(drafts) do
    local owner = draft.message .. ':' .. user
    if draft.supersede and not seen[owner] then
      local active = call('ZCOUNT', P .. 'message_tasks:' .. owner, FIRST, '(0')
      if active > 0 then owners[#owners + 1] = owner end
      seen[owner], count = true, count + active
    end
  end
  if count == 0 then return {}, {}, kept end
  for _, draft in ipairs(drafts) do
    kept[draft.becomes] = false
    for _, dep in ipairs(draft.fresh and draft.deps or {}) do kept[dep] = false end
  end
  keep_dependencies(kept)
  if count > MAX_SUPERSEDED_NOW then return {}, owners, kept end
  local older = {}
  for _, owner in ipairs(owners) do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, FIRST, '(0')) do
      if kept[id] == nil then older[#older + 1] = id end
    end
  end
  return older, {}, kept
end
local function count_freed_room(older, owners, kept, tenant, over)
  local room, looked, seen = { waiting = 0, scheduled = 0, ready = 0 }, 0, {}
  local function is_enough()
    return looked == 1000 or (room.waiting >= over.waiting and room.scheduled >= over.scheduled and room.ready >= over.ready and
      room.waiting + room.scheduled >= over.both)
  end
  local function look(ids)
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
  local function look_at(owner, newest)
    for from = 0, 999, 100 do
      local ids = call('ZRANGEBYSCORE', P .. 'message_tasks:' .. owner, newest, '(0', 'LIMIT', from, 100)
      if look(ids) then return true end
      if #ids < 100 then return end
    end
  end
  if look(older) then return room end
  for _, owner in ipairs(owners) do
    if look_at(owner, FIRST) then return room end
  end
  local replaced = call('ZREVRANGE', Q .. 'superseded', 0, 99, 'WITHSCORES')
  for i = 1, #replaced, 2 do
    if look_at(replaced[i], replaced[i + 1]) then break end
  end
  return room
end
local function mend_counts_now()
--- @include "counts"
  mend_counts()
end
local function find_exceeded_limit(fresh, older, owners, kept, tenant, most)
  if #fresh == 0 or most.waiting + most.scheduled + most.ready == 0 then return end
  local all_of_tenant, all = counted('waiting', tenant), counted('waiting', '')
  local function within(count, limit) return limit == 0 or count + #fresh <= limit end
  if within(all_of_tenant, most.waiting) and within(all_of_tenant, most.scheduled) and within(all, most.ready) then return end
  local unfinished = call('ZCARD', Q .. 'active')
  if stored.waiting[tenant] > unfinished or stored.waiting[''] > unfinished then
    mend_counts_now()
    all_of_tenant, all = counted('waiting', tenant), counted('waiting', '')
  end
  local scheduled = math.min(counted('scheduled', tenant), all_of_tenant)
  local ready_now = all - math.min(counted('scheduled', ''), all)
  local later = 0
  for _, draft in ipairs(fresh) do
    if #draft.waits > 0 or draft.run_at > now then later = later + 1 end
  end
  local ready = #fresh - later
  local both = most.waiting > 0 and most.scheduled > 0 and most.waiting + most.scheduled or 0
  local function over(fresh, count, limit) return fresh > 0 and limit > 0 and math.max(0, count + fresh - limit) or 0 end
  local needed = {
    waiting = over(ready, all_of_tenant - scheduled, most.waiting), scheduled = over(later, scheduled, most.scheduled),
    both = over(later, all_of_tenant + ready, both), ready = over(ready, ready_now, most.ready)
  }
  if needed.waiting + needed.scheduled + needed.both + needed.ready == 0 then return end
  local room = count_freed_room(older, owners, kept, tenant, needed)
  if room.waiting < needed.waiting then return { 'tenant_full', ready } end
  if room.scheduled < needed.scheduled or room.waiting + room.scheduled < needed.both then return { 'scheduled_full', later } end
  if room.ready < needed.ready then return { 'queue_full', ready } end
end`,
  'expected': `local expected_now = tonumber(ARGV[#ARGV])
local expired_by = expected_now and math.min(now, expected_now) or now
local CLOCK_TOLERANCE_MS = 2000`,
  'finish': `local ended, has_ended, unnotified = {}, {}, {}
local MAX_CASCADE = RULES.MAX_MOVED
local cascaded = 0
local function ended_besides(own)
  local records = {}
  for _, id in ipairs(ended) do
    if not own[id] then records[#records + 1] = task_reply(id) or nil end
  end
  return records
end
local MAX_KEPT = RULES.MAX_KEPT_BYTES
local function shorten(task)
  local raw = task.apart and call('GET', request_key(task.id))
  local query = raw and string.find(raw, ',"adjustment_query":', 1, true)
  local params = query and string.find(raw, ',"params":', query, true)
  if not query then return end
  local value = string.sub(raw, query + 20, (params or #raw) - 1)
  if #value > MAX_KEPT then value = 'null' end
  task.record, task.apart = task.record .. string.sub(raw, 1, query + 19) .. value .. '}', false
  keys_to_delete[#keys_to_delete + 1] = request_key(task.id)
  extras_of(task.state).shortened = true
  change(task)
end
local MAX_UNRUN, MAX_WHOLE = RULES.MAX_UNRUN, RULES.MAX_WHOLE
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
  index_forget(messages_of(terms), id, terms.dedup_key)
  call('ZREM', Q .. 'finished', id)
  call('DEL', task.key, request_key(id), Q .. 'attempts:' .. id)
  task.gone, tasks[id] = true, false
end
local function limit_unrun(id, tenant, keep)
  local key = Q .. 'unrun:' .. tenant
  local length = call('RPUSH', key, id)
  if length == 1 then call('PEXPIRE', key, keep) else call('PEXPIRE', key, keep, 'GT') end
  if length > MAX_WHOLE then
    local old = find(call('LINDEX', key, -MAX_WHOLE - 1))
    if old and old.state.completed then shorten(old) end
  end
  if length > MAX_UNRUN then delete_task(call('LPOP', key)) end
end
local function finish(task, status)
  local id, terms, state = task.id, task.terms, task.state
  local keep_task, keep_index, extras = terms.keep_task, terms.keep_index, state.extras or {}
  ended[#ended + 1], has_ended[id], unnotified[#unnotified + 1] = id, true, { id, status == 'COMPLETED' }
  cascaded = cascaded + 1 + math.floor((#(extras.keys or {}) + #(extras.batches or {})) / 100)
  state.status, state.step, state.completed = status, string.lower(status), now
  extras.waits = nil
  if status == 'CANCELLED' then shorten(task) end
  if state.lease == 0 then limit_unrun(id, terms.tenant, keep_task) end
  announce(task)
  if state.lease > 0 then keys_to_delete[#keys_to_delete + 1] = Q .. 'checkpoints:' .. id end
  if task.apart then call('PEXPIRE', request_key(id), digits[keep_task]) end
  if extras.tried then call('PEXPIRE', Q .. 'attempts:' .. id, keep_task) end
  for _, key in ipairs(extras.keys or {}) do call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
  active_changes[id], finished_changes[id] = false, now + keep_task
  finished_ttl = math.max(finished_ttl, keep_task)
  local has_chart = status == 'COMPLETED'
  index_ended(messages_of(terms), id, terms.dedup_key, keep_task, keep_index, has_chart)
  if has_chart and terms.shared ~= '' then index_chart(P .. 'message_charts:' .. terms.message .. ':' .. terms.shared, id, keep_task, keep_index) end
  for _, batch in ipairs(extras.batches or {}) do end_in_batch(batch, keep_task) end
end
local function is_request(text, from) return text and string.find(text, '^%s*{', from) and string.find(text, '}%s*$', -16) and true end
local function replace_request(task)
  local terms = task.terms
  local function from_word(text)
    return (string.gsub(text, '%%(%x%x)', function(code) return string.char(tonumber(code, 16)) end))
  end
  local request = cjson.encode({
    task_id = task.id, message_id = terms.message, user_id = from_word(terms.user), org_id = string.match(terms.tenant, '^org:') and from_word(string.sub(terms.tenant, 5)) or cjson.null,
    visibility = terms.shared ~= '' and 'ORGANIZATION' or 'PRIVATE', force_create = false, adjustment_query = cjson.null
  })
  task.record, task.apart = string.sub(task.record, 1, task.request - 1) .. request, false
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
end
local function cancel_task(id)
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
end
local function notify_dependent(id, completed)
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
    state.step, state.at = enqueue_or_delay(id, terms)
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
  if #left > 0 then call('RPUSH', Q .. 'untold', unpack(left)) end
  return #left > 0
end
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = first_of(index)[2]
  local staying = {}
  for id, terms in pairs(kept) do
    local score = terms and terms.message == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, terms) then staying[#staying + 1] = { id, tonumber(score), terms } end
  end
  table.sort(staying, function(a, b) return a[2] > b[2] end)
  for _, one in ipairs(staying) do
    local id, score, terms = unpack(one)
    local leads, pointer = digits[score - FAR], call('ZSCORE', index, '=' .. terms.dedup_key)
    index_active(index, id, terms.dedup_key, first_of(index))
    if not pointer or digits[tonumber(pointer)] ~= leads then clear_answer(index, terms.dedup_key) end
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
end
local function run_deferred(deferred)
  local left = notify_all_dependents()
  while deferred and cascaded < MAX_CASCADE and cancel_superseded() do notify_all_dependents() end
  while deferred and cascaded < MAX_CASCADE do
    local one = call('LPOP', Q .. 'untold')
    if not one then break end
    unnotified[1] = { string.gsub(one, '%+', ''), string.find(one, '+', 1, true) ~= nil }
    notify_all_dependents()
  end
  if not (left or deferred) then return false end
  if call('EXISTS', Q .. 'untold', Q .. 'superseded') == 0 then
    call('DEL', Q .. 'unsettled')
    return false
  end
  if not deferred then notify_workers() end
  call('SET', Q .. 'unsettled', 1)
  return true
end`,
  'history': `local HOUR = 3600000
local function hour_of(kind, time) return Q .. kind .. ':' .. digits[time - time % HOUR] end`,
  'index': `--- @include "ranges"
local function messages_of(terms) return P .. 'message_tasks:' .. terms.message .. ':' .. terms.user end
local function first_of(key) return call('ZRANGEBYSCORE', key, FIRST, '+inf', 'WITHSCORES', 'LIMIT', '0', '1') end
local function index_active(key, id, hash, first, replaced)
  local score = -math.max(now, 1 - tonumber(first[2] or 0), 1 - tonumber(replaced or 0))
  call('ZADD', key, digits[score], id, digits[score - FAR], '=' .. hash)
  if first[1] then call('PERSIST', key) end
  return score
end
local function has_dedup_key(key, hash) return call('ZSCORE', key, '=' .. hash) or call('ZSCORE', key, '+' .. hash) end
local function mark_shared(key, hash) call('ZADD', key, digits[2 * FAR + now], '+' .. hash) end
local function clear_answer(key, hash)
  mark_shared(key, hash)
  call('ZREM', key, '=' .. hash)
end
local function next_finished(key, keep_task, is_last)
  local newest = tonumber(call('ZREVRANGEBYSCORE', key, LAST, '(0', 'WITHSCORES', 'LIMIT', '0', '1')[2] or 0)
  local gone = now - keep_task
  local old = newest > 0 and call('ZRANGEBYSCORE', key, '(0', digits[gone], 'WITHSCORES', 'LIMIT', '0', '100') or {}
  for i = 1, #old, 2 do
    if call('EXISTS', P .. 'task:' .. old[i]) == 0 then
      local pointer = digits[old[i + 1] + FAR]
      call('ZREM', key, old[i])
      call('ZREMRANGEBYSCORE', key, pointer, pointer)
    end
  end
  if #old > 0 and is_last then call('ZREMRANGEBYSCORE', key, digits[2 * FAR], digits[2 * FAR + gone]) end
  return math.max(now, newest + 1)
end
local function index_ended(key, id, hash, keep_task, keep_index, has_chart)
  if call('ZCARD', key) == 2 then
    if has_chart then
      call('ZADD', key, digits[now], id, digits[now + FAR], '=' .. hash)
    else
      call('ZADD', key, digits[now], id)
      call('ZREM', key, '=' .. hash)
    end
    call('PEXPIRE', key, digits[keep_index])
    return
  end
  local active = call('ZRANGEBYSCORE', key, FIRST, '(0', 'LIMIT', '0', '2')
  local is_last = (active[1] or id) == id and (active[2] or id) == id
  local score = next_finished(key, keep_task, is_last)
  call('ZADD', key, digits[score], id)
  if call('ZSCORE', key, '+' .. hash) then
    clear_answer(key, hash)
  elseif has_chart then
    call('ZADD', key, digits[score + FAR], '=' .. hash)
  else
    call('ZREM', key, '=' .. hash)
  end
  if is_last then prolong(key, digits[keep_index]) end
end
local function index_chart(key, id, keep_task, keep_index)
  call('ZADD', key, digits[next_finished(key, keep_task, true)], id)
  prolong(key, digits[keep_index])
end
local function index_forget(key, id, hash)
  local score, pointer = call('ZSCORE', key, id), call('ZSCORE', key, '=' .. hash)
  if score and pointer and math.abs(pointer - score) == FAR then call('ZREM', key, '=' .. hash) end
  call('ZREM', key, id)
end
local function end_in_batch(batch, keep_task)
  local name = Q .. 'batch:' .. batch
  if call('HINCRBY', name, 'left', '-1') > 0 then return end
  call('PEXPIRE', name, keep_task)
  local key = call('HGET', name, 'key')
  if key and key ~= '' then call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
end
local function is_superseded(id, terms)
  local newest = call('ZSCORE', Q .. 'superseded', terms.message .. ':' .. terms.user)
  local score = newest and call('ZSCORE', messages_of(terms), id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end`,
  'leave': `local MAX_ATTEMPTS = RULES.MAX_ATTEMPTS
local MAX_ASIDE = RULES.MAX_ASIDE
local readmitted = 0
local function count_queues()
  flush_queues()
  return call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low'))
end
local function any_queued() return count_queues() > 0 end
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
  local best = head_of('again', n) and 1
  if not best then
    local due
    for i, priority in ipairs(PRIORITIES) do
      local its = share(priority)
      if its and (not due or its < due) and head_of(priority, n) then best, due = i + 1, its end
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
end
local function hold_at_cap(id, tenant, at, score)
  local turn = score >= 0 and score < MAX_TURN and math.floor(score) or 0
  call('ZADD', Q .. 'capped:' .. tenant, string.format('%.0f', at * MAX_TURN + turn), id)
end
local function next_capped(key, tenant)
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not head[1] or tonumber(head[2]) < 2 * MAX_TURN then return head end
  local places = call('HINCRBY', Q .. 'turns:low', '+' .. tenant, 1) % RULES.PARKED_CYCLE
  if places % RULES.PARKED_NORMAL_EVERY > 0 then return head end
  local at = places == 0 and 4 or 3
  local lower = call('ZRANGEBYSCORE', key, at * MAX_TURN, string.format('(%.0f', (at + 1) * MAX_TURN), 'WITHSCORES', 'LIMIT', 0, 1)
  if not lower[1] then return head end
  call('HSET', Q .. 'turns:low', '=' .. tenant, lower[1])
  return lower
end
local function reserved_task(tenant)
  local id = call('HGET', Q .. 'turns:low', '=' .. tenant)
  if not id then return end
  flush_queues()
  call('HDEL', Q .. 'turns:low', '=' .. tenant)
  return call('ZREM', queue('normal'), id) + call('ZREM', queue('low'), id) > 0 and id
end
local function readmit_capped(tenant, cap)
  local key = Q .. 'capped:' .. tenant
  if call('EXISTS', key) == 0 then return end
  local room = cap == 0 and MAX_ASIDE or math.max(1, (cap or 0) - counted('running', tenant))
  for _ = 1, math.max(1, math.min(room, MAX_ASIDE - readmitted)) do
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
end
local function refund_turn(id, terms)
  local priority, tenant = terms.priority, terms.tenant
  local score = call('ZSCORE', queue(priority), id) or call('ZSCORE', Q .. 'capped:' .. tenant, id)
  local turn = turn_of(priority, tenant)
  if score and math.floor(score % MAX_TURN) == turn then turns[priority][tenant] = turn - math.floor(ROUND / (terms.weight or 1)) end
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
  local key = Q .. 'attempts:' .. id
  call('RPUSH', key, cjson.encode({ state.attempt, state.lease, state.worker, tonumber(string.match(state.trace, ',(%d+)') or now), now, verb, state.step, state.progress, code or '', message or '' }))
  call('LTRIM', key, -MAX_ATTEMPTS, -1)
  if verb == 'expire' then
    extras.losses, extras.lost_worker = (extras.losses or 0) + 1, state.worker
  elseif verb ~= 'release' then
    extras.losses, extras.lost_worker = nil, nil
  end
  if verb == 'release' then state.attempt = state.attempt - 1 end
  state.status, state.step, state.at, state.progress, state.from, state.progress_at = 'PENDING', step, now + delay, 0, nil, nil
  extras.steps, extras.tried = nil, true
  count('waiting', task.terms.tenant, 1)
  if delay > 0 then
    add_timed('delayed', digits[now + delay], id)
    count_scheduled(nil, 1)
  else
    add_to_queue('again', id, digits[now])
  end
  announce(task)
  notify_workers()
end`,
  'note': `local function note_of(worker) return Q .. 'take:' .. worker .. (ARGV[8] == '0' and '' or ':' .. ARGV[8]) end`,
  'order': `local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = RULES.STRIDE_HIGH, normal = RULES.STRIDE_NORMAL, low = RULES.STRIDE_LOW }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return Q .. 'queue:' .. name end
local SHARES = { 'high', 'normal', 'low', 'round:high', 'round:normal', 'round:low', 'clock', 'order' }
local shares
local changed_shares = {}
local function share(field)
  if not shares then
    shares = {}
    for i, value in ipairs(call('HMGET', Q .. 'shares', unpack(SHARES))) do
      local number = tonumber(value or nil)
      shares[SHARES[i]] = number and is_number(number) and number or nil
    end
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
end
local function init_share(name)
  if STRIDE[name] and (not share(name) or call('EXISTS', queue(name)) == 0) then set_share(name, (share('clock') or 0) + STRIDE[name]) end
end
local queues_in_use
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  queues_in_use = queues_in_use or call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low'))
  if queues_in_use == 1 then return rank + 1 end
  local turn = (share(priority) or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    local due = share(other)
    if other ~= priority and due then
      local before = (turn - due) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end`,
  'plain-enqueue': `local PER_REQUEST, PER_DRAFT = 6, 5
local function within(count, limit) return limit == 0 or count <= limit end
local known_limits = {}
local function parse_limits(text)
  if not known_limits[text] then
    local waiting, ready, timeout = string.match(text, '(%d+) (%d+) %d+ %d (%d+)')
    known_limits[text] = { waiting = tonumber(waiting), ready = tonumber(ready), is_plain = timeout == '0' }
  end
  return known_limits[text]
end
local indexes, traces, firsts = {}, {}, {}
local function read_index(d, user, names)
  local hash = ARGV[d + 2]
  local index = P .. 'message_tasks:' .. string.match(ARGV[d + 1], '^%S+') .. ':' .. user
  if names[index .. hash] then return nil end
  names[index .. hash] = true
  if not firsts[index] then firsts[index] = first_of(index) end
  if firsts[index][1] and has_dedup_key(index, hash) then return nil end
  return index
end
local function read_trace(rest)
  if rest == '' or rest == '{"force":true}' then return '' end
  return string.match(rest, '^{"few":{("traceparent":".*")}}$') or string.match(rest, '^{"force":true,"few":{("traceparent":".*")}}$')
end
local function read_request(i, names)
  local limits, batch, drafts = parse_limits(ARGV[i + 2]), ARGV[i + 4], {}
  local key, body = string.match(ARGV[i + 3], '^([%w_-]+) (%S+)$')
  if not limits.is_plain or (ARGV[i + 3] ~= '' and not key) then return nil end
  for d = i + PER_REQUEST, i + PER_REQUEST + PER_DRAFT * (ARGV[i + 5] - 1), PER_DRAFT do
    local trace = read_trace(ARGV[d + 4])
    local index = trace and read_index(d, ARGV[i], names)
    if not index then return nil end
    names[#names + 1], drafts[#drafts + 1], indexes[d], traces[d] = P .. 'task:' .. ARGV[d], d, index, trace
  end
  if key then
    local name = Q .. 'idempotency:' .. key
    if names[name] then return nil end
    names[name], names[#names + 1] = true, name
  end
  if batch ~= '' then names[#names + 1] = Q .. 'batch:' .. batch end
  return { user = ARGV[i], tenant = ARGV[i + 1], limits = limits, key = key or '', body = body, batch = batch, drafts = drafts }
end
local function read_requests()
  local requests, names, of_tenant, of_all, i = {}, { Q .. 'superseded' }, {}, 0, 2
  while i <= #ARGV do
    local request = read_request(i, names)
    if not request then return nil end
    local tenant, limits, n = request.tenant, request.limits, #request.drafts
    of_all, of_tenant[tenant] = of_all + n, (of_tenant[tenant] or 0) + n
    if not (within(counted('waiting', tenant) + of_tenant[tenant], limits.waiting) and within(counted('waiting', '') + of_all, limits.ready)) then return nil end
    requests[#requests + 1] = request
    i = i + PER_REQUEST + n * PER_DRAFT
  end
  return call('EXISTS', unpack(names)) == 0 and requests or nil
end
local created, queue_additions, active, messages_with_new_tasks = {}, {}, {}, {}
local function create_plain(d, user, tenant, extras)
  local id, head, hash, request, at = ARGV[d], ARGV[d + 1], ARGV[d + 2], ARGV[d + 3], digits[now]
  local message, priority = string.match(head, '^(%S+) (%l+)')
  count('waiting', tenant, 1)
  local turn = math.max(turn_of(priority, tenant), share('round:' .. priority) or 0) + ROUND
  turns[priority][tenant] = turn
  local members = queue_additions[priority] or {}
  queue_additions[priority], members[#members + 1], members[#members + 2] = members, queue_score(turn), id
  local record = '\\n2 ' .. at .. ' queued ' .. at .. ' ' .. hash .. ' ' .. head .. extras .. '\\n'
  if #request <= MAX_INLINE then
    record = record .. request
  else
    created[#created + 1], created[#created + 2] = P .. 'request:' .. id, request
  end
  created[#created + 1], created[#created + 2] = P .. 'task:' .. id, record
  active[#active + 1], active[#active + 2] = at, id
  local index = indexes[d]
  firsts[index] = { id, index_active(index, id, hash, firsts[index]) }
  messages_with_new_tasks[message .. ':' .. user] = true
end
local function bind_plain(request)
  local ids, key, batch = {}, request.key, request.batch
  for n, d in ipairs(request.drafts) do ids[n] = ARGV[d] end
  if batch ~= '' then call('HSET', Q .. 'batch:' .. batch, 'user', request.user, 'ids', table.concat(ids, ' '), 'left', digits[#ids], 'key', key) end
  if key ~= '' then call('SET', Q .. 'idempotency:' .. key, (batch ~= '' and batch or ids[1]) .. request.body) end
end
local function enqueue_plain()
  local requests = read_requests()
  if not requests then return nil end
  for _, request in ipairs(requests) do
    local binding = request.batch ~= '' and '"batch":"' .. request.batch .. '"' or request.key ~= '' and '"key":"' .. request.key .. '"' or ''
    for _, d in ipairs(request.drafts) do
      local extras = binding .. (binding ~= '' and traces[d] ~= '' and ',' or '') .. traces[d]
      create_plain(d, request.user, request.tenant, extras ~= '' and ' {' .. extras .. '}' or '')
    end
    bind_plain(request)
  end
  call('MSET', unpack(created))
  call('ZADD', Q .. 'active', unpack(active))
  for priority, members in pairs(queue_additions) do
    init_share(priority)
    call('ZADD', queue(priority), unpack(members))
  end
  write_tenants()
  for owner in pairs(messages_with_new_tasks) do call('PUBLISH', P .. 'message:' .. owner, '') end
  signal_work()
  local answer = { 'plain', digits[now] }
  for _, request in ipairs(requests) do
    for _, d in ipairs(request.drafts) do answer[#answer + 1] = position(ARGV[d], string.match(ARGV[d + 1], ' (%l+)')) end
  end
  return answer
end`,
  'plain-exchange': `--- @include "start"
--- @include "expected"
--- @include "note"
--- @include "tenants"
--- @include "index"
local exchange_plain
do
local ENDING = '^\\n2 %d+ %S+ %d+ (%S+) (%S+) %l+ %d+ (%d+) (%d+) (%d+) %S+ (%S+) (%S+) (%S*) ?[^\\n]*\\n()'
local WAITING = '^\\n2 %d+ %S+ %d+ %S+ %S+ %l+ %d+ %d+ %d+ %d+ %S+ (%S+) %S+ %S* ?([^\\n]*)\\n()'
local RUNNING = '^(%d+) PROCESSING %d+ %S+ (%d+ %d* %d* %d+) (%d+) (%d+)   (%S+ %S+)  (%S* ?)(.*)$'
local OPENING, CLOSING = string.byte('{}', 1, 2)
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
local function ending_ids()
  local ids, seen = {}, {}
  for i = 9, #ARGV - 1, 7 do
    local id = ARGV[i]
    if ARGV[i + 2] ~= 'complete' or seen[id] then return nil end
    seen[id], ids[#ids + 1] = true, id
  end
  return ids
end
local function next_ids(wanted)
  local ids, pages, used, due, rounds, clock, shares_in_use = {}, {}, {}, {}, {}, nil, 0
  for _, name in ipairs(PRIORITIES) do
    due[name], used[name] = share(name), 0
    pages[name] = due[name] and call('ZRANGE', queue(name), '0', digits[wanted], 'WITHSCORES') or {}
    if #pages[name] > 0 then shares_in_use = shares_in_use + 1 end
  end
  if call('EXISTS', queue('high'), queue('normal'), queue('low')) > shares_in_use then return nil end
  while #ids < wanted do
    local best
    for _, name in ipairs(PRIORITIES) do
      if pages[name][2 * used[name] + 1] and (not best or due[name] < due[best]) then best = name end
    end
    if not best then break end
    local id, score = pages[best][2 * used[best] + 1], tonumber(pages[best][2 * used[best] + 2])
    if score < 0 or score >= MAX_TURN or ids[id] then return nil end
    ids[id], ids[#ids + 1] = true, id
    used[best], rounds[best], clock, due[best] = used[best] + 1, score, due[best], due[best] + STRIDE[best]
  end
  local is_left = false
  for _, name in ipairs(PRIORITIES) do is_left = is_left or #pages[name] > 2 * used[name] end
  return { ids = ids, used = used, due = due, rounds = rounds, clock = clock, is_left = is_left }
end
local function read_tasks(worker, ending, starting)
  local names, ids, records, states = { note_of(worker), Q .. 'paused', Q .. 'unsettled' }, {}, {}, {}
  for _, list in ipairs({ ending, starting }) do
    for _, id in ipairs(list) do names[#names + 1], ids[#ids + 1] = P .. 'task:' .. id, id end
  end
  local found, known = call('MGET', unpack(names)), #ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}
  for n, id in ipairs(ids) do records[id], states[id] = found[n + 3] or '', known[n] or '' end
  return found, records, states
end
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
local function read_starts(ids, records, states)
  local tenants, requests, rest, bytes = {}, {}, {}, 0
  for n, id in ipairs(ids) do
    local record = records[id]
    local tenant, extras, request = string.match(record, WAITING)
    if not tenant or states[id] ~= '' or string.find(extras, '"queue_timeout"', 1, true) then return nil end
    local key, batch = string.match(extras, '"key":"([%w_-]+)"'), string.match(extras, '"batch":"([%w_-]+)"')
    rest[n] = batch and ' {"batches":["' .. batch .. '"]}' or key and ' {"keys":["' .. key .. '"]}' or ''
    local apart = request > #record and (call('GET', P .. 'request:' .. id) or '')
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
end`,
  'queue': `--- @include "tenants"
local changed_tasks, lease_changes, active_changes, finished_changes, keys_to_delete = {}, {}, {}, {}, {}
local finished_ttl = 0
local must_signal_work = false
local hints = {}
local function change(task)
  task.hint = nil
  if not task.is_changed then
    task.is_changed, changed_tasks[#changed_tasks + 1] = true, task
  end
end
local function announce(task)
  task.state.version = task.state.version + 1
  change(task)
  task.hint = to_text(task.state)
  hints[#hints + 1], hints[#hints + 2] = task.id, task.hint
end
local function is_scheduled(step) return step == 'scheduled' or step == 'waiting_for_dependencies' end
local function count_scheduled(tenant, by)
  if tenant then add('scheduled', tenant, by) end
  add('scheduled', '', by)
end
local function notify_workers() must_signal_work = true end
local queue_additions, queue_heads = {}, {}
local function flush_queues()
  for name, head in pairs(queue_heads) do
    if head.used > 0 then call('ZREMRANGEBYRANK', queue(name), '0', digits[head.used - 1]) end
  end
  queue_heads = {}
  for name, members in pairs(queue_additions) do
    init_share(name)
    for i = 1, #members, MAX_FETCHED do call('ZADD', queue(name), unpack(members, i, math.min(i + MAX_FETCHED - 1, #members))) end
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
  turns[priority][tenant] = turn
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
  'ranges': `local FAR = 2 ^ 51
local FIRST, LAST = '(' .. digits[-FAR], '(' .. digits[FAR]`,
  'ref': `local TERMS_IN_REF = '^2 (%d+) %S+ %d+ %S+ %S+ %l+ %d+ (%d+) %d+ %d+ %S+ (%S+) (%S+)'
local ENDED_IN_REF = '^%d+ (%u+) %d+ %S+ %d+ %d* %d* %d+ %d+ %d* (%d+) '
local function to_ref(id, record)
  local first = record and string.find(record, '\\n', 1, true)
  if not first then return false end
  local created, keep, tenant, user = string.match(record, TERMS_IN_REF, first + 1)
  local status, completed = string.match(record, ENDED_IN_REF)
  if not created or (completed and completed + keep <= now) then return false end
  return { id, created, completed or false }, status, user, tenant
end
local function each_ref(ids, visit)
  for from = 1, #ids, MAX_FETCHED do
    local names = {}
    for i = from, math.min(from + MAX_FETCHED - 1, #ids) do names[#names + 1] = P .. 'task:' .. ids[i] end
    for i, record in ipairs(call('MGET', unpack(names))) do
      local ref, status, user = to_ref(ids[from + i - 1], record)
      if ref and visit(ref, status, user) then return end
    end
  end
end`,
  'shown': `local function body_of(task) return string.sub(task.record, string.find(task.record, '\\n', 1, true), -1) end
local function task_reply(id)
  local task = find_kept(id)
  if not task or task.state.status == 'LOST' then return false end
  local state = task.state
  if state.completed and state.extras and state.extras.steps and state.completed + task.terms.keep_details <= now then
    state.extras.steps = nil
    task.record = to_text(state) .. body_of(task)
  end
  local place = state.status == 'PENDING' and position(id, task.terms.priority) or false
  return { task.record, task.text, place, task.apart and call('GET', request_key(id)) or nil }
end`,
  'start': `local P = KEYS[1]
local Q = P .. '2:'
--- @include "call"
local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local digits = setmetatable({}, {
  __index = function(known, number)
    if number ~= number then return '0' end
    local text = string.format('%.0f', number)
    known[number] = text
    return text
  end
})
local MAX_INLINE = 1024
local MAX_CLAIMED, MAX_CLAIMED_BYTES = RULES.MAX_CLAIMED, RULES.MAX_CLAIMED_BYTES
local MAX_NUMBER = 2 ^ 53
local function is_number(value) return value >= 0 and value < MAX_NUMBER end
local function prolong(key, keep)
  if call('PEXPIRE', key, keep, 'NX') == 0 then call('PEXPIRE', key, keep, 'GT') end
end`,
  'take': `--- @include "note"
local MAX_DUE = RULES.MAX_DUE
local DEFERRED_DELAY_MS = RULES.DEFERRED_DUE_MS
local collected = 0
local function due_in(key, time)
  local ids = call('ZRANGEBYSCORE', Q .. key, '-inf', time, 'LIMIT', 0, MAX_DUE - collected)
  collected = collected + #ids
  fetch(ids)
  return ids
end
local function lost_workers(task, attempt)
  local extras = task.state.extras
  local times = extras and extras.losses
  if times then return { extras.lost_worker or '', times, (times > 1 or attempt >= task.terms.max) and 1 or 0 } end
end
local function was_held_back(state) return string.find(state.trace, '^queued,%d+,%d+$') end
local function has_lost_state(task)
  local state = task.state
  return state.status == 'LOST' or (state.status == 'PENDING' and state.lease == 0 and not is_placed(task))
end
local expired = {}
local function expire_leases(cap, deferred)
  for _, id in ipairs(due_in('processing', expired_by)) do
    local task = find(id)
    if task and has_lost_state(task) then
      fail_lost(task)
    elseif not task or task.state.status ~= 'PROCESSING' then
      lease_changes[id] = false
    elseif deferred and is_superseded(id, task.terms) then
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
  for _, id in ipairs(is_any_timed() and due_in('deadlines', expired_by) or {}) do
    call('ZREM', Q .. 'deadlines', id)
    local task = find(id)
    if task and deferred and is_superseded(id, task.terms) then
      cancel_task(id)
    elseif task and task.state.status == 'PENDING' and task.terms.queue_timeout then
      remove_waiting(task)
      extras_of(task.state).code = 'CHARTS_ERR_QUEUE_TIMEOUT'
      finish(task, 'FAILED')
    end
  end
end
local function promote_delayed()
  for _, id in ipairs(is_any_timed() and due_in('delayed', now) or {}) do
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
      task.state.step, task.state.at = 'queued', now
      enqueue_task(id, task.terms)
      announce(task)
    else
      count_scheduled(nil, -1)
      add_to_queue('again', id, digits[now])
    end
  end
end
local MAX_WAIT_MS = 86400000
local function next_due(deferred)
  local due = deferred and DEFERRED_DELAY_MS or -1
  for _, key in ipairs(is_any_timed() and { 'processing', 'delayed', 'deadlines' } or { 'processing' }) do
    local head = tonumber(call('ZRANGE', Q .. key, 0, 0, 'WITHSCORES')[2])
    local left = head and math.min(math.max(0, head - (key == 'delayed' and now or expired_by)), MAX_WAIT_MS)
    if left and (due < 0 or left < due) then due = left end
  end
  return due
end
local function request_of(task)
  if not task.apart then return is_request(task.record, task.request), nil end
  local request = call('GET', request_key(task.id))
  return is_request(request, 1), request or nil
end
local function to_claimed(task, lost, request)
  local bytes = #task.record + #(request or '')
  if task.state.lease == 1 then return { task, false, false, request }, bytes end
  local steps = call('HGETALL', Q .. 'checkpoints:' .. task.id)
  for _, text in ipairs(steps) do bytes = bytes + #text end
  return { task, steps, lost or false, request }, bytes
end
local function start_attempt(task, worker, claim, lease_duration, step)
  local state = task.state
  if state.lease == 0 and task.terms.queue_timeout then call('ZREM', Q .. 'deadlines', task.id) end
  count('waiting', task.terms.tenant, -1)
  count('running', task.terms.tenant, 1)
  lease_changes[task.id] = now + lease_duration
  state.status, state.step, state.at, state.started = 'PROCESSING', step, now, state.started or now
  state.attempt, state.lease = state.attempt + 1, state.lease + 1
  state.worker, state.claim, state.settled_by, state.trace = worker, claim, '', step .. ',' .. digits[now] .. ',0'
  announce(task)
end
local function cancel_if_superseded(task, at, score)
  if not is_superseded(task.id, task.terms) then return false end
  local name = QUEUES[at]
  flush_queues()
  call('ZADD', queue(name), string.format('%.17g', score), task.id)
  if STRIDE[name] then set_share(name, share(name) - STRIDE[name]) end
  return cancel_task(task.id)
end
local function notes_for(worker) return call('MGET', note_of(worker), Q .. 'paused', Q .. 'unsettled') end
local function to_claimed_reply(claimed)
  local replies = {}
  for i, one in ipairs(claimed) do
    local task, steps, lost, request = unpack(one)
    replies[i] = (steps or lost or request) and { task.record, task.text, steps, lost, request } or { task.record, task.text }
  end
  return replies
end
local function finish_call(claimed, own, deferred, lost)
  commit()
  return { to_claimed_reply(claimed), ended_besides(own), next_due(deferred), tostring(now), deferred and 1 or 0, lost }
end
local function count_running(tenant, cap)
  local known = counted('running', tenant)
  if known < cap or stored.running[tenant] == 0 then return known end
  local all = call('ZCARD', Q .. 'processing')
  if stored.running[tenant] > all then
    local ids, number = call('ZRANGE', Q .. 'processing', 0, MAX_FETCHED - 1), 0
    fetch(ids)
    for _, id in ipairs(ids) do
      local task = find(id)
      if task and task.terms.tenant == tenant then number = number + 1 end
    end
    stored.running[tenant] = number
    call('HSET', Q .. 'running', tenant, digits[number])
  end
  return counted('running', tenant)
end
local function claim_tasks(own, worker, claim, wanted, lease_duration, running_per_tenant, beside, notes)
  local claimed = {}
  local before, paused, deferred = unpack(notes)
  if before and string.sub(before, 1, #claim + 1) == claim .. ' ' then
    local again, gone, lost = string.match(string.sub(before, #claim + 2), '([^;]*);([^;]*);?(.*)')
    if not again then again, gone, lost = '', '', '' end
    for id in string.gmatch(again, '%S+') do
      local task = find(id)
      if task and task.state.status == 'PROCESSING' and task.state.claim == claim then
        local has_request, request = request_of(task)
        if has_request then claimed[#claimed + 1] = to_claimed(task, lost_workers(task, task.state.attempt), request) else fail_lost(task, false) end
      end
    end
    for id in string.gmatch(gone, '%S+') do
      if not own[id] then ended[#ended + 1] = id end
    end
    return finish_call(claimed, own, run_deferred(false) or deferred, lost ~= '' and decoded(lost) or {})
  end
  expire_leases(running_per_tenant, deferred)
  promote_delayed()
  deferred = run_deferred(deferred)
  local ids, aside, bytes, left = {}, 0, 0, nil
  wanted = math.min(wanted, MAX_CLAIMED)
  local capped = running_per_tenant > 0
  while #claimed < wanted and aside < MAX_ASIDE and cascaded < 2 * MAX_CASCADE and bytes < MAX_CLAIMED_BYTES and not paused do
    local id, at, score = pop(wanted - #claimed)
    if not id then
      left = count_queues()
      if left == 0 or not mend_shares() then break end
      left, id, at, score = nil, pop(wanted - #claimed)
      if not id then break end
    end
    local task = find(id)
    local status = task and task.state.status
    if status == 'LOST' or (status == 'PENDING' and at == 1 and task.state.lease == 0) then
      fail_lost(task)
      aside = aside + 1
    elseif status ~= 'PENDING' then
      aside = aside + 1
    elseif deferred and cancel_if_superseded(task, at, score) then
      aside = aside + 1
    elseif capped and count_running(task.terms.tenant, running_per_tenant) >= running_per_tenant then
      hold_at_cap(id, task.terms.tenant, at, score)
      aside = aside + 1
    else
      local other = capped and at > 1 and reserved_task(task.terms.tenant)
      other = other and find(other)
      if other and other.state.status ~= 'PENDING' then other = nil end
      if other and not (deferred and is_superseded(other.id, other.terms) and cancel_task(other.id)) then
        hold_at_cap(id, task.terms.tenant, at, score)
        task = other
      end
      local lost = lost_workers(task, task.state.attempt + 1)
      local alone = lost and lost[3] == 1
      local has_request, request = request_of(task)
      if has_request then
        start_attempt(task, worker, claim, lease_duration, alone and beside + #claimed > 0 and 'queued' or 'started')
        local size
        claimed[#claimed + 1], size = to_claimed(task, lost, request)
        ids[#ids + 1], bytes = task.id, bytes + size
        if alone then break end
      else
        fail_lost(task, false)
        aside = aside + 1
      end
    end
  end
  if #unnotified > 0 then deferred, left = run_deferred(deferred), nil end
  if #claimed + #ended + #expired > 0 then
    local lost = #expired > 0 and cjson.encode(expired) or ''
    call('SET', note_of(worker), claim .. ' ' .. table.concat(ids, ' ') .. ';' .. table.concat(ended, ' ') .. ';' .. lost, 'PX', lease_duration)
  end
  left = left or (paused and 0 or count_queues())
  if shares and left > (shares.high and 1 or 0) + (shares.normal and 1 or 0) + (shares.low and 1 or 0) then mend_shares() end
  if not paused and left > 0 then notify_workers() end
  return finish_call(claimed, own, deferred, expired)
end`,
  'tasks': `local TERMS = '^2 (%d+) (%S+) (%d+) (%S+) (%S+) (%l+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+) (%S*) ?([^\\n]*)\\n()'
local STATE = '^(%d+) (%u+) (%d+) (%S+) (%d+) (%d*) (%d*) (%d+) (%d+) (%d*) (%d*) (%S*) (%S*) (%S*) (%l*) (%S*) ?(.*)$'
local function word(text)
  if not string.find(text, '[%s%c%%,;]') then return text end
  return (string.gsub(text, '[%s%c%%,;]', function(c) return string.format('%%%02X', string.byte(c)) end))
end
local function decoded(text)
  local is_json, value = pcall(cjson.decode, text)
  return is_json and type(value) == 'table' and value or nil
end
local function extras_of(state)
  if not state.extras then state.extras = {} end
  return state.extras
end
local function parse_extras(rest)
  local extras = decoded(rest)
  local types = {
    run_at = 'number', queue_timeout = 'number', weight = 'number', retry_of = 'string', deps = 'list', waits = 'number', batch = 'string', key = 'string', code = 'string',
    error = 'string', steps = 'table', losses = 'number', lost_worker = 'string', tried = 'boolean', keys = 'list', batches = 'list', retried_as = 'string', shortened = 'boolean', traceparent = 'string',
    tracestate = 'string'
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
local function first_state(terms)
  local state = { version = 1, status = 'PENDING', progress = 0, step = terms.step, at = terms.at, attempt = 0, lease = 0, chart = '', worker = '', claim = '', settled_by = '', trace = '' }
  if terms.waits or terms.key or terms.batch then
    state.extras = { waits = terms.waits, keys = terms.key and { terms.key }, batches = terms.batch and { terms.batch } }
  end
  return state
end
local function is_status(status)
  return status == 'PENDING' or status == 'PROCESSING' or status == 'COMPLETED' or status == 'FAILED' or status == 'CANCELLED'
end
local function to_state(text)
  local version, status, progress, step, at, from, progress_at, attempt, lease, started, completed, chart, worker, claim, settled_by, trace, rest = string.match(text, STATE)
  if not version or not is_status(status) then return nil end
  local state = {
    version = tonumber(version), status = status, progress = tonumber(progress), step = step, at = tonumber(at), from = tonumber(from), progress_at = tonumber(progress_at),
    attempt = tonumber(attempt), lease = tonumber(lease), started = tonumber(started), completed = tonumber(completed), chart = chart, worker = worker,
    claim = claim, settled_by = settled_by, trace = trace, extras = rest ~= '' and parse_extras(rest) or nil
  }
  local sum = state.version + state.progress + state.at + (state.from or 0) + (state.progress_at or 0) + state.attempt + state.lease + (state.started or 0) + (state.completed or 0)
  return is_number(sum) and (rest == '' or state.extras) and state or nil
end
local function to_text(s)
  return digits[s.version] .. ' ' .. s.status .. ' ' .. digits[s.progress] .. ' ' .. s.step .. ' ' .. digits[s.at] .. ' ' .. (s.from and digits[s.from] or '') ..
    ' ' .. (s.progress_at and digits[s.progress_at] or '') .. ' ' .. digits[s.attempt] .. ' ' .. digits[s.lease] .. ' ' .. (s.started and digits[s.started] or '') ..
    ' ' .. (s.completed and digits[s.completed] or '') .. ' ' .. s.chart .. ' ' .. s.worker .. ' ' .. s.claim .. ' ' .. s.settled_by .. ' ' .. s.trace ..
    (s.extras and next(s.extras) and ' ' .. cjson.encode(s.extras) or '')
end
local UNSEEN = 1000000
local function lost_state(terms, text)
  local state = first_state(terms)
  local version = tonumber(string.match(text or '', '^(%d+) ')) or UNSEEN
  state.status, state.version = 'LOST', version < UNSEEN and version or UNSEEN
  return state
end
local function to_task(id, key, record, text)
  local first = record and string.find(record, '\\n', 1, true)
  if not first then return false end
  local created, step, at, dedup_key, message, priority, max, keep_task, keep_details, keep_index, backoff, tenant, user, shared, rest, request =
    string.match(record, TERMS, first + 1)
  if not created then return false end
  local terms = {
    created = tonumber(created), step = step, at = tonumber(at), dedup_key = dedup_key, message = message, priority = priority, max = tonumber(max),
    keep_task = tonumber(keep_task), keep_details = tonumber(keep_details), keep_index = tonumber(keep_index), backoff = backoff,
    tenant = tenant, user = user, shared = shared
  }
  if not is_number(terms.created + terms.at + terms.max + terms.keep_task + terms.keep_details + terms.keep_index) or not STRIDE[priority] then return false end
  local is_read = true
  if rest ~= '' then
    local extras = parse_extras(rest)
    is_read = extras ~= nil
    for field, value in pairs(extras or {}) do terms[field] = value end
  end
  if first > 1 then text = string.sub(record, 1, first - 1) end
  local state
  if text and is_read then state = to_state(text) elseif is_read then state = first_state(terms) end
  if first > 1 and not (state and state.completed) then return false end
  if not state or (first == 1 and state.completed) then state = lost_state(terms, text) end
  return {
    id = id, key = key, terms = terms, state = state, record = record, request = request, text = first == 1 and text, had_ended = first > 1, apart = request > #record
  }
end
local function request_key(id) return P .. 'request:' .. id end
local tasks, new_records = {}, {}
local MAX_FETCHED = 1000
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
      if #missing == MAX_FETCHED then read() end
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
local ROUND = RULES.ROUND
local MAX_TURN = RULES.PARKED_RANK
local counts = { waiting = {}, running = {}, scheduled = {} }
local turns = { high = {}, normal = {}, low = {} }
local function add(key, tenant, by)
  local deltas = counts[key]
  deltas[tenant] = (deltas[tenant] or 0) + by
end
local function count(key, tenant, by)
  add(key, tenant, by)
  add(key, '', by)
end
local function to_count(text)
  local number = tonumber(text)
  return number and is_number(number) and number or 0
end
local stored = { waiting = {}, running = {}, scheduled = {} }
local function counted(key, tenant)
  local known = stored[key]
  if not known[tenant] then
    local its, all = unpack(call('HMGET', Q .. key, tenant, ''))
    known[tenant], known[''] = to_count(its), known[''] or to_count(all)
  end
  return known[tenant] + (counts[key][tenant] or 0)
end
local function turn_of(priority, tenant)
  local known = turns[priority]
  known[tenant] = known[tenant] or to_count(call('HGET', Q .. 'turns:' .. priority, tenant))
  return known[tenant]
end
local function next_order()
  local order = (share('order') or 0) + 1
  set_share('order', order)
  return order
end
local function queue_score(turn) return string.format('%.17g', turn + next_order() % RULES.ARRIVALS / RULES.ARRIVALS) end
local function write_counts()
  for key, deltas in pairs(counts) do
    for tenant, by in pairs(deltas) do
      if by ~= 0 and call('HINCRBY', Q .. key, tenant, digits[by]) <= 0 then
        call('HDEL', Q .. key, tenant)
        if key == 'waiting' and tenant == '' then
          call('DEL', Q .. 'waiting', Q .. 'shares', Q .. 'scheduled')
          changed_shares = {}
        elseif key == 'waiting' then
          for _, priority in ipairs(PRIORITIES) do
            turns[priority][tenant] = nil
            call('HDEL', Q .. 'turns:' .. priority, tenant, '+' .. tenant, '=' .. tenant)
          end
        end
      end
    end
  end
end
local function write_pairs(key, values)
  local flat = {}
  for field, value in pairs(values) do flat[#flat + 1], flat[#flat + 2] = field, digits[value] end
  if #flat > 0 then call('HSET', key, unpack(flat)) end
end
local function write_tenants()
  write_counts()
  write_pairs(Q .. 'shares', changed_shares)
  for priority, values in pairs(turns) do write_pairs(Q .. 'turns:' .. priority, values) end
end
local function signal_work()
  if call('LLEN', Q .. 'wake') > 0 then return end
  call('LPUSH', Q .. 'wake', 1)
  call('PEXPIRE', Q .. 'wake', 60000)
end`,
  'weigh': `local function reply_bytes(one) return #one[1] + #(one[2] or '') + #(one[4] or '') end`
}
