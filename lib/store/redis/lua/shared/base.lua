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
local function request(id) return P .. 'request:' .. id end
--- @include "order"

-- The record as it is known now: nothing once its retention has passed, even where Redis has not yet expired it.
local function read(id)
  local t = call('HMGET', record(id), 'expires', 'details_expire', 'status', 'priority')
  if not t[3] or (t[1] and tonumber(t[1]) <= now) then return false end
  local steps = {}
  if not t[2] or tonumber(t[2]) > now then steps = call('HGETALL', details(id)) end
  return { id, call('HGETALL', record(id)), steps, call('GET', request(id)), t[3] == 'PENDING' and position(id, t[4]) or false }
end

local STATE = { 'version', 'status', 'progress', 'step', 'attempt', 'started', 'completed', 'chart', 'code', 'error', 'at', 'from', 'moved' }
local function publish(id, state, steps) call('PUBLISH', P .. 'updates:' .. id, cjson.encode({ state, steps })) end

-- Version and hint belong to the same step as the change: no watcher can see one without the other. Returns its steps.
local function announce(id)
  local steps = call('HGETALL', details(id))
  call('HINCRBY', record(id), 'version', 1)
  publish(id, call('HMGET', record(id), unpack(STATE)), steps)
  return steps
end
