#!lua
-- progress: stores and announces what running tries report.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME), then for each try: task_id  lease  progress or ''  step or ''  n  and n times: step, percent
-- Returns { 1 | 0 … }: 0 where the lease is not the current one
-- Atomic because a try that lost its lease must not overwrite what its successor reports.
--- @include "base"
local MOST_STEPS = 64

-- Steps that are new or have moved.
local function put(id, first, last)
  local moved = false
  for j = first, last, 2 do
    local name, percent = ARGV[j], ARGV[j + 1]
    local old = call('HGET', details(id), name)
    if old ~= percent and (old or call('HLEN', details(id)) < MOST_STEPS) then
      call('HSET', details(id), name, percent)
      moved = true
    end
  end
  return moved
end

-- When each step began: what estimates are learnt from.
local function with_step(trace, step, progress)
  local entries = cjson.decode(trace)
  if #entries < MOST_STEPS then entries[#entries + 1] = { step, now, progress } end
  return cjson.encode(entries)
end

local function report(id, progress, step, first, last)
  local t = call('HMGET', record(id), 'progress', 'step', 'trace')
  local reached = math.max(progress or 0, tonumber(t[1]))
  local changes = {}
  if put(id, first, last) or reached > tonumber(t[1]) then changes = { 'progress', reached, 'moved', now } end
  if step ~= '' and step ~= t[2] then
    changes = { 'progress', reached, 'moved', now, 'step', step, 'at', now, 'from', reached, 'trace', t[3] and with_step(t[3], step, reached) }
    -- A try that an older version of the package began has no trace.
    if not t[3] then changes[11], changes[12] = nil, nil end
  end
  if #changes == 0 then return end
  call('HSET', record(id), unpack(changes))
  announce(id)
end

local answers = {}
local i = 2
while i <= #ARGV do
  local id, lease, progress, step, n = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], tonumber(ARGV[i + 4])
  local t = call('HMGET', record(id), 'lease', 'status')
  local current = t[1] == lease and t[2] == 'PROCESSING'
  if current then report(id, progress, step, i + 5, i + 4 + 2 * n) end
  answers[#answers + 1] = current and 1 or 0
  i = i + 5 + 2 * n
end
return answers
