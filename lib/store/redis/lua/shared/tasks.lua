--- @include "records"
-- The tasks of a call. Each is read once, changed in Lua, and written and announced once, by commit.

local function request_key(id) return P .. 'request:' .. id end
local function message_index_of(terms) return P .. 'message_tasks:' .. terms.message .. ':' .. terms.user end

-- `new_records`: records that this call will write, by their keys.
local tasks, new_records = {}, {}
-- Arguments of one command: Lua's stack holds few more.
local MAX_ARGUMENTS = 1000
-- Reads those of the tasks that this call has not read yet.
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

-- When the retention of a finished task ends; nil for an unfinished task.
local function expires_at(task) return task.state.completed and task.state.completed + task.terms.keep_task end

-- False once the retention has passed, even if Redis has not expired the key yet.
local function find_kept(id)
  local task = find(id)
  return task and (expires_at(task) or math.huge) > now and task
end
