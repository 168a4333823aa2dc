-- The tasks of this call. Each is read once, changed in Lua, and written and announced once, by commit.
-- `task:<id>` has three lines: the final state, empty until then; what was asked for, which never changes; and a short request as JSON. A long
-- request is in `request:<id>`, so that a look at a task does not read it. `states` has the states of unfinished tasks that have changed.
-- What was asked for and the state are words in the order of the patterns below, and behind them JSON with what few tasks have: Lua would
-- take longer to read and write all of it as JSON.
local ASKED = '^2 (%d+) (%S+) (%d+) (%S+) (%S+) (%l+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+) (%S*) ?([^\n]*)\n()'
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
local function rare(state)
  if not state.rare then state.rare = {} end
  return state.rare
end

local function first_state(asked)
  local state = { version = 1, status = 'PENDING', progress = 0, step = asked.step, at = asked.at, attempt = 0, lease = 0, chart = '', worker = '', claim = '', closed = '', trace = '' }
  if asked.waits or asked.key or asked.batch then
    state.rare = { waits = asked.waits, keys = asked.key and { asked.key }, batches = asked.batch and { asked.batch } }
  end
  return state
end

local function to_state(text)
  local version, status, progress, step, at, from, moved, attempt, lease, started, completed, chart, worker, claim, closed, trace, rest = string.match(text, STATE)
  if not version then return nil end
  return {
    version = tonumber(version), status = status, progress = tonumber(progress), step = step, at = tonumber(at), from = tonumber(from), moved = tonumber(moved),
    attempt = tonumber(attempt), lease = tonumber(lease), started = tonumber(started), completed = tonumber(completed), chart = chart, worker = worker,
    claim = claim, closed = closed, trace = trace, rare = rest ~= '' and (decoded(rest) or {}) or nil
  }
end

local function to_text(s)
  return digits[s.version] .. ' ' .. s.status .. ' ' .. digits[s.progress] .. ' ' .. s.step .. ' ' .. digits[s.at] .. ' ' .. (s.from and digits[s.from] or '') ..
    ' ' .. (s.moved and digits[s.moved] or '') .. ' ' .. digits[s.attempt] .. ' ' .. digits[s.lease] .. ' ' .. (s.started and digits[s.started] or '') ..
    ' ' .. (s.completed and digits[s.completed] or '') .. ' ' .. s.chart .. ' ' .. s.worker .. ' ' .. s.claim .. ' ' .. s.closed .. ' ' .. s.trace ..
    (s.rare and next(s.rare) and ' ' .. cjson.encode(s.rare) or '')
end

-- A task is { id, key, asked, state, record, request, text, had_ended, apart }. `request`: where it begins in the record; `apart`: it has a
-- key of its own. `text`: the state as it is stored in `states`. False where there is no task (any more), or where it cannot be read.
local function to_task(id, key, record, text)
  local first = record and string.find(record, '\n', 1, true)
  if not first then return false end
  local created, step, at, same, message, priority, max, keep_task, keep_details, keep_index, backoff, tenant, user, shared, rest, request =
    string.match(record, ASKED, first + 1)
  if not created then return false end
  local asked = {
    created = tonumber(created), step = step, at = tonumber(at), same = same, message = message, priority = priority, max = tonumber(max),
    keep_task = tonumber(keep_task), keep_details = tonumber(keep_details), keep_index = tonumber(keep_index), backoff = backoff,
    tenant = tenant, user = user, shared = shared
  }
  for field, value in pairs(rest ~= '' and decoded(rest) or {}) do asked[field] = value end
  if first > 1 then text = string.sub(record, 1, first - 1) end
  local state
  if text then state = to_state(text) else state = first_state(asked) end
  return state and {
    id = id, key = key, asked = asked, state = state, record = record, request = request, text = first == 1 and text, had_ended = first > 1, apart = request > #record
  } or false
end

local function request_key(id) return P .. 'request:' .. id end

local tasks, written = {}, {}
-- More than so many keys in one command would not fit on Lua's stack.
local MAX_FETCHED = 1000
-- Reads those of the tasks that this call has not read yet. `written`: records of this call, by their keys.
local function fetch(ids)
  local missing, keys = {}, {}
  local function read()
    if #missing == 0 then return end
    local records, states = call('MGET', unpack(keys)), call('HMGET', Q .. 'states', unpack(missing))
    for i, id in ipairs(missing) do tasks[id] = to_task(id, keys[i], written[keys[i]] or records[i], states[i]) end
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
local function expires(task) return task.state.completed and task.state.completed + task.asked.keep_task end

-- Once its retention has passed there is none, even where Redis has not yet expired it.
local function find_kept(id)
  local task = find(id)
  return task and (expires(task) or math.huge) > now and task
end
