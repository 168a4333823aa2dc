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

function exchange_plain()
  local claim_id, wanted, lease_duration, max_running = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
  -- A cap, a clock that was set back, tasks that have run before, and whatever is or may become due are for the rest of the script.
  if max_running > 0 or (expected_now and expected_now - now > CLOCK_TOLERANCE_MS) then return nil end
  if call('EXISTS', queue('requeued'), Q .. 'delayed', Q .. 'deadlines') > 0 then return nil end
  local first_end = call('ZRANGE', Q .. 'processing', '0', '0', 'WITHSCORES')[2]
  if first_end and tonumber(first_end) <= expired_by then return nil end

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
  local keys, ids, records, states = { last_claim_key, Q .. 'paused', Q .. 'deferred' }, {}, {}, {}
  for _, list in ipairs({ ending, turn.ids }) do
    for _, id in ipairs(list) do keys[#keys + 1], ids[#ids + 1] = P .. 'task:' .. id, id end
  end
  local values = call('MGET', unpack(keys))
  local last_claim, paused, has_deferred = values[1], values[2], values[3]
  -- A last claim with the same id: its reply was lost, and the same tasks are its answer again.
  if paused or has_deferred or (last_claim and string.sub(last_claim, 1, #claim_id + 1) == claim_id .. ' ') then return nil end
  local stored_states = #ids > 0 and call('HMGET', Q .. 'states', unpack(ids)) or {}
  for n, id in ipairs(ids) do records[id], states[id] = values[n + 3] or '', stored_states[n] or '' end

  local ends = read_ends(ending, records, states)
  local starts = ends and read_starts(turn.ids, records, states)
  if not starts then return nil end

  local ended, answers = write_ends(ends)
  local claimed = write_starts(turn, starts, records)
  write_tenants()
  if #claimed + #ended > 0 then
    call('SET', last_claim_key, claim_id .. ' ' .. table.concat(turn.ids, ' ') .. ';' .. table.concat(ended, ' ') .. ';', 'PX', digits[lease_duration])
  end
  if turn.is_left then signal_work() end
  local next_end = call('ZRANGE', Q .. 'processing', '0', '0', 'WITHSCORES')[2]
  return answers, { claimed, {}, next_end and math.max(0, next_end - expired_by) or -1, digits[now], 0, {} }
end
end
