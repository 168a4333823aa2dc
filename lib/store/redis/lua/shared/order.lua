-- The order of waiting tasks. Tasks that have run before go first. Under full load, of every 21 others 16 are high, 4 normal and 1 low
-- (stride scheduling: Waldspurger and Weihl, 1995). Within a priority, tenants take turns (turns.lua).
-- These files compute the order and change together: queue.lua, leave.lua, capped.lua and pop.lua; plain-enqueue.lua and plain-claim.lua, which
-- repeat their rules for the common case; position.lua, which predicts the result. store/memory/fair-queue.ts is the model.
local PRIORITIES = { 'high', 'normal', 'low' }
local STRIDE = { high = RULES.STRIDE_HIGH, normal = RULES.STRIDE_NORMAL, low = RULES.STRIDE_LOW }
local QUEUES = { 'requeued', 'high', 'normal', 'low' }
local function queue(name) return Q .. 'queue:' .. name end

-- The hash `shares`, read at the first use and written by write_tenants. For each priority: when it is due (`high`), and its current turn,
-- which is that of the task popped last (`round:high`). `clock`: when the priority that was served last was due. `order`: number of the last
-- arrival.
local shares
local changed_shares = {}
local function share(field)
  if not shares then
    local stored = call('HMGET', Q .. 'shares', 'high', 'normal', 'low', 'round:high', 'round:normal', 'round:low', 'clock', 'order')
    shares = {
      high = to_number(stored[1]), normal = to_number(stored[2]), low = to_number(stored[3]), ['round:high'] = to_number(stored[4]),
      ['round:normal'] = to_number(stored[5]), ['round:low'] = to_number(stored[6]), clock = to_number(stored[7]), order = to_number(stored[8])
    }
    -- A priority is due within its stride. If it is due later, its share or the clock was lost, and it would wait as long as others have tasks.
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
