-- The common case of settling and claiming: attempts that end with a chart, whose tasks nothing depends on, and waiting tasks that have not run
-- before; nothing is due, capped, paused or deferred. Reads everything before it writes anything. In any other case returns nil with nothing
-- changed, and the rest of the script does the work: Lua takes longer to create that script's functions than to run all of this.
-- ARGV as in settle-and-claim.lua.
--- @include "start"
--- @include "expiry-clock"
--- @include "last-claim"
--- @include "tenants"
--- @include "index-ended"
-- Settles the attempts in ARGV and claims up to n tasks. Returns the answers to the first, and what claim returns.
local exchange_plain
-- A block, because Lua allows 200 local names in a script.
do
--- @include "plain-settle"
--- @include "plain-claim"

-- ms until the next lease expires, or -1. `leases`: the first two as they were, which are mostly enough to tell.
local function next_due(leases, ended, has_claimed)
  local next_end = has_claimed and now + tonumber(ARGV[5]) or math.huge
  if not leases[1] or not ended[leases[1]] then
    next_end = math.min(next_end, leases[2] or math.huge)
  elseif leases[3] and not ended[leases[3]] then
    next_end = math.min(next_end, leases[4])
  elseif leases[3] then
    next_end = tonumber(call('ZRANGE', Q .. 'processing', '0', '0', 'WITHSCORES')[2]) or math.huge
  end
  return next_end < math.huge and math.max(0, next_end - expired_by) or -1
end

function exchange_plain()
  local claim_id, wanted, lease_duration, max_running = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
  -- A cap, a clock that was set back, tasks that have run before, and whatever is or may become due are for the rest of the script.
  if max_running > 0 or (expected_now and expected_now - now > CLOCK_TOLERANCE_MS) then return nil end
  if call('EXISTS', queue('requeued'), Q .. 'delayed', Q .. 'deadlines', Q .. 'paused', Q .. 'deferred') > 0 then return nil end
  local leases = call('ZRANGE', Q .. 'processing', '0', '1', 'WITHSCORES')
  if leases[2] and tonumber(leases[2]) <= expired_by then return nil end

  -- Each attempt ends with a chart, and is named once.
  local ending, seen = {}, {}
  for i = 9, #ARGV - 1, 7 do
    local id = ARGV[i]
    if ARGV[i + 2] ~= 'complete' or seen[id] then return nil end
    seen[id], ending[#ending + 1] = true, id
  end
  local turn = next_tasks(math.min(wanted, MAX_CLAIMED))
  if not turn then return nil end

  -- One command for all strings, one for all states.
  local keys, ids, records, states = { last_claim_key }, {}, {}, {}
  for _, list in ipairs({ ending, turn.ids }) do
    for _, id in ipairs(list) do keys[#keys + 1], ids[#ids + 1] = P .. 'task:' .. id, id end
  end
  local values = call('MGET', unpack(keys))
  -- A last claim with the same id: its reply was lost, and the same tasks are its answer again.
  if values[1] and string.sub(values[1], 1, #claim_id + 1) == claim_id .. ' ' then return nil end
  local stored_states = #ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}
  for n, id in ipairs(ids) do records[id], states[id] = values[n + 1] or '', stored_states[n] or '' end

  -- Of these keys, only the queues with a share may exist: a queue without one has lost it, and mend_shares sets it.
  local others = { queue('high'), queue('normal'), queue('low') }
  local ends = read_ends(ending, records, states, others)
  local starts = ends and read_starts(turn.ids, records, states)
  if not starts or call('EXISTS', unpack(others)) > #turn.heads then return nil end

  local ended, answers = write_ends(ends)
  local claimed = write_starts(turn, starts, records)
  write_tenants()
  if #claimed + #ended > 0 then
    call('SET', last_claim_key, claim_id .. ' ' .. table.concat(turn.ids, ' ') .. ';' .. table.concat(ended, ' ') .. ';', 'PX', digits[lease_duration])
  end
  if turn.is_left then signal_work() end
  return answers, { claimed, {}, next_due(leases, seen, #claimed > 0), digits[now], 0, {} }
end
end
