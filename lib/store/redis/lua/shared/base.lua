-- The prefix that every key and channel is derived from, the time (ms), and what every script needs to read and announce a task.
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

local call = redis.call
local function record(id) return P .. 'task:' .. id end
local function details(id) return P .. 'status:' .. id end
local function checkpoints(id) return P .. 'checkpoints:' .. id end

-- The record as it is known now: nothing once its retention has passed, even where Redis has not yet expired it.
local function read(id)
  local fields = call('HMGET', record(id), 'expires', 'details_expire')
  if fields[1] and tonumber(fields[1]) <= now then return false end
  local task = call('HGETALL', record(id))
  if #task == 0 then return false end
  local steps = {}
  if not fields[2] or tonumber(fields[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, task, steps, call('GET', P .. 'request:' .. id) }
end

-- Version and hint belong to the same step as the change: no watcher can see one without the other.
local function announce(id)
  call('HINCRBY', record(id), 'version', 1)
  local state = call('HMGET', record(id), 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error')
  call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, call('HGETALL', details(id)) }))
end
