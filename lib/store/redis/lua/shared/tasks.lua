-- The tasks of this call. Each is read once, changed in Lua, and written and announced once, by commit.
-- `task:<id>` has three lines: the final state, empty until then; what was asked for, which never changes; and a short request as JSON. A long
-- request is in `request:<id>`, so that a look at a task does not read it. `states` has the states of unfinished tasks that have changed.
-- What was asked for and the state are words in the order of the patterns below, and behind them JSON with what few tasks have: Lua would
-- take longer to read and write all of it as JSON.
local TERMS = '^2 (%d+) (%S+) (%d+) (%S+) (%S+) (%l+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+) (%S*) ?([^\n]*)\n()'
local STATE = '^(%d+) (%u+) (%d+) (%S+) (%d+) (%d*) (%d*) (%d+) (%d+) (%d*) (%d*) (%S*) (%S*) (%S*) (%l*) (%S*) ?(.*)$'

-- Free text as one word: spaces, control characters and what separates steps as %XX.
local function word(text)
  if not string.find(text, '[%s%c%%,;]') then return text end
  return (string.gsub(text, '[%s%c%%,;]', function(c) return string.format('%%%02X', string.byte(c)) end))
end

local function decoded(text)
  local is_json, value = pcall(cjson.decode, text)
  return is_json and type(value) == 'table' and value or nil
end

-- What few states have: code, error, steps, keys, batches, waits, tried, losses, lost_worker, retried_as, shortened.
local function extras_of(state)
  if not state.extras then state.extras = {} end
  return state.extras
end

-- What `rest` holds; nil where it cannot be read. Its fields are used without a further look.
local function parse_extras(rest)
  local extras = decoded(rest)
  -- Made here, because most tasks have none of them. Elements of a list are texts.
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

-- Turns between two of a priority (see order.lua).
-- A version that no watcher has seen, where the last one is not known.
local UNSEEN = 1000000
local function lost_state(terms, text)
  local state = first_state(terms)
  local version = tonumber(string.match(text or '', '^(%d+) ')) or UNSEEN
  state.status, state.version = 'LOST', version < UNSEEN and version or UNSEEN
  return state
end

-- A task is { id, key, asked, state, record, request, text, had_ended, apart }. `request`: where it begins in the record; `apart`: it has a
-- key of its own. `text`: the state as it is stored in `states`. False where there is no task (any more), or where it cannot be read. Where
-- only its state, or what few tasks have, cannot be read, its status is LOST: it reads as gone until a script that writes ends it (put_lost).
local function to_task(id, key, record, text)
  local first = record and string.find(record, '\n', 1, true)
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
-- More than so many keys in one command would not fit on Lua's stack.
local MAX_FETCHED = 1000
-- Reads those of the tasks that this call has not read yet. `written`: records of this call, by their keys.
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

-- When the retention of a finished task has passed; nil of an unfinished one.
local function expires_at(task) return task.state.completed and task.state.completed + task.terms.keep_task end

-- Once its retention has passed there is none, even where Redis has not yet expired it.
local function find_kept(id)
  local task = find(id)
  return task and (expires_at(task) or math.huge) > now and task
end
