-- The order of waiting tasks. What has run before goes first; then, of every 21 tasks under full load, 16 high, 4 normal and
-- 1 low one (stride scheduling: Waldspurger and Weihl, 1995); within a priority the tenants take turns (see queue.lua).
local PRIORITIES = { 'high', 'normal', 'low' }
local INDEX = { high = 1, normal = 2, low = 3 }
local STRIDE = { high = RULES.STRIDE_HIGH, normal = RULES.STRIDE_NORMAL, low = RULES.STRIDE_LOW }
local QUEUES = { 'again', 'high', 'normal', 'low' }
local function queue(name) return Q .. 'queue:' .. name end

-- Read once, changed in Lua, written once by commit.
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
    -- A priority is due within its stride: one that is later has lost its share or the clock, and would wait for as long as others come.
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

-- Before its first task enters: its turn comes when its share is due, not at once, so that whatever is higher goes before.
local function init_share(name)
  if STRIDE[name] and (not share(name) or call('EXISTS', queue(name)) == 0) then set_share(name, (share('clock') or 0) + STRIDE[name]) end
end

-- Asked for only once the queues of this call are as they stay.
local queues_in_use

-- Where a waiting task stands, 1 is the next, if no other comes: by the rules of pop. Nil where it waits for anything but its turn.
local function position(id, priority)
  local rank = call('ZRANK', queue(priority), id)
  if not rank then
    rank = call('ZRANK', queue('again'), id)
    return rank and rank + 1
  end
  -- Its own queue is the only one, as it mostly is.
  queues_in_use = queues_in_use or call('EXISTS', queue('again'), queue('high'), queue('normal'), queue('low'))
  if queues_in_use == 1 then return rank + 1 end
  local turn = (share(priority) or 0) + rank * STRIDE[priority]
  local ahead = call('ZCARD', queue('again')) + rank
  for i, other in ipairs(PRIORITIES) do
    local due = share(other)
    if other ~= priority and due then
      -- Where both are due at once, the higher goes first.
      local before = (turn - due) / STRIDE[other]
      before = i < INDEX[priority] and math.floor(before) + 1 or math.ceil(before)
      ahead = ahead + math.max(0, math.min(before, call('ZCARD', queue(other))))
    end
  end
  return ahead + 1
end
