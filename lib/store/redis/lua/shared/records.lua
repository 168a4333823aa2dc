-- How a task is stored. `task:<id>` has three lines: the final state, empty until the task has ended; the terms, which never change; and a
-- short request, compacted (compact-request.ts).
-- A long request is in `request:<id>`, so that most reads of a task do not read it. `states` has the state of each unfinished task that has
-- changed since it was created.
-- Terms and states are words in the order of these patterns, then JSON with fields that few tasks have: to encode and decode all of it as
-- JSON would take longer than the commands of a script.
local TERMS = '^2 (%d+) (%S+) (%d*) (%S+) (%S+) (%l+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+) (%S*) ?([^\n]*)\n()'
local STATE = '^(%d+) (%u+) (%d+) (%S+) (%d+) (%d*) (%d*) (%d+) (%d+) (%d*) (%d*) (%S*) (%S*) (%S*) (%l*) (%S*) ?(.*)$'

-- Free text as one word: spaces, control characters and the characters that separate steps become %XX.
local function to_word(text)
  if not string.find(text, '[%s%c%%,;]') then return text end
  return (string.gsub(text, '[%s%c%%,;]', function(c) return string.format('%%%02X', string.byte(c)) end))
end

local function decode_json(text)
  local is_json, value = pcall(cjson.decode, text)
  return is_json and type(value) == 'table' and value or nil
end

-- The fields of a state that few tasks have, to be changed.
local function extras_of(state)
  if not state.extras then state.extras = {} end
  return state.extras
end

-- The JSON behind the words of terms or of a state. Nil if it is damaged: nothing else checks the types of its fields.
local function parse_extras(json)
  local extras = decode_json(json)
  -- In the function, because it is rarely called. A list has texts only.
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

-- Nil if the state is damaged.
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

-- A version that no watcher has seen, for a task whose last version is not known: watchers ignore versions that they have seen.
local UNSEEN = 1000000
-- The state of a task of which a part was lost. For scripts that read, there is no such task; one that writes ends it (fail_lost).
local function lost_state(terms, text)
  local state = initial_state(terms)
  local version = tonumber(string.match(text or '', '^(%d+) ')) or UNSEEN
  state.status, state.version = 'LOST', version < UNSEEN and version or UNSEEN
  return state
end

-- A task, or false if its record is gone or damaged. If only its state or the extras are damaged, its status is LOST. Fields:
--   id, key, terms, state, record
--   request_start: where in the record the request begins; has_request_key: the request is in `request:<id>` instead
--   stored_state: the text of the state in `states`, or false
--   had_ended: the task had ended before this call
local function to_task(id, key, record, text)
  local first = record and string.find(record, '\n', 1, true)
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
end
