-- What the caller's monotonic clock says of the time, as the last argument; '' where it does not know. After base.lua.
local expected = tonumber(ARGV[#ARGV])
-- Leases and waits that end by both clocks: where Redis' own was set forward, their holders live.
local ended_by = expected and math.min(now, expected) or now
local TOLERANCE = 2000
-- Of each kind so many, the next that are due: Redis serves nobody else meanwhile.
local MOST_MOVED = 1000

local function move(key, by, moves)
  local due = call('ZRANGE', P .. key, 0, MOST_MOVED - 1, 'WITHSCORES')
  for i = 1, #due, 2 do
    if not moves or moves(due[i]) then call('ZADD', P .. key, due[i + 1] - by, due[i]) end
  end
end

-- Redis' clock was set back: what was to end by it ends when it would have. Before this call writes a time, and by one process
-- only: all of them notice. A time that was asked for (run_at) is one of the new clock.
local function set_back(by)
  local mended = tonumber(call('GET', P .. 'set_back') or nil)
  if mended and math.abs(mended - by) <= TOLERANCE then return end
  call('SET', P .. 'set_back', by, 'PX', 600000)
  move('processing', by)
  move('deadlines', by)
  move('delayed', by, function(id) return call('HGET', record(id), 'step') == 'retrying' end)
end
if expected and expected - now > TOLERANCE then set_back(expected - now) end
