-- The order of waiting tasks. What has run before goes first; then, of every 21 tasks under full load, 16 high, 4 normal and
-- 1 low one (stride scheduling: Waldspurger and Weihl, 1995); within a priority the tenants take turns (see queue.lua).
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = 1, normal = 4, low = 16 }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return P .. 'queue:' .. name end

-- Where a waiting task stands, 1 is the next, if no other comes: by the rules of pop. Nil where it waits for anything but its turn.
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  -- Its own queue is the only one, as it mostly is.
  if call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low')) == 1 then return rank + 1 end
  local due = call('HMGET', P .. 'shares', unpack(PRIORITIES))
  local turn = (due[INDEX[priority]] or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    if other ~= priority and due[i] then
      -- Where both are due at once, the higher goes first.
      local before = (turn - due[i]) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
