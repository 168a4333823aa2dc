--- @include "due"
-- Handles what is due, then gives leases on the next tasks to a worker. ARGV[2] to [8] as in claim.lua.
-- The key of the worker's last claim has 'claim_id', the ids of the tasks that it got, of those that ended, and the leases that expired, in
-- case the reply was lost. A worker may have two claims under way, one in each lane: each lane has a key of its own.

-- `max_running`: of one tenant; 0 = off. `beside`: attempts that go on in the worker meanwhile.
local claim = {
  worker = ARGV[2], id = ARGV[3], wanted = tonumber(ARGV[4]), lease_duration = tonumber(ARGV[5]), max_running = tonumber(ARGV[6]), beside = tonumber(ARGV[7])
}

-- What a claim decides on, read in one command: the worker's last claim, since when the queue is paused, and whether work was deferred.
local function read_claim_state() return unpack(call('MGET', last_claim_key, Q .. 'paused', Q .. 'deferred')) end
--- @include "attempts"

-- Writes what the call has changed. Returns { claimed tasks, other tasks that ended, ms until something is due or -1, now, 1 if work was
-- deferred, { task_id, attempt, worker } of leases that expired }. `own`: ids of tasks that are answered elsewhere.
local function finish_call(claimed, own, has_deferred, expired_leases)
  commit()
  local replies = {}
  for i, one in ipairs(claimed) do
    local task, checkpoints, lost, request = unpack(one)
    replies[i] = (checkpoints or lost or request) and { task.record, task.stored_state, checkpoints, lost, request } or { task.record, task.stored_state }
  end
  return { replies, ended_besides(own), next_due(has_deferred), tostring(now), has_deferred and 1 or 0, expired_leases }
end

-- The reply to this very claim was lost: the same tasks, unless they have ended, and no others. `last_claim` as it is stored.
local function repeat_claim(own, last_claim, has_deferred)
  local claimed = {}
  local ids, ended_ids, expired_leases = string.match(string.sub(last_claim, #claim.id + 2), '([^;]*);([^;]*);?(.*)')
  if not ids then ids, ended_ids, expired_leases = '', '', '' end
  for id in string.gmatch(ids, '%S+') do
    local task = find(id)
    if task and task.state.status == 'PROCESSING' and task.state.claim_id == claim.id then
      local has_request, request = read_request(task)
      if has_request then claimed[#claimed + 1] = claimed_task(task, lost_workers(task, task.state.attempt), request) else fail_lost(task, false) end
    end
  end
  for id in string.gmatch(ended_ids, '%S+') do
    if not own[id] then ended[#ended + 1] = id end
  end
  return finish_call(claimed, own, run_deferred(false) or has_deferred, expired_leases ~= '' and decode_json(expired_leases) or {})
end

-- Popped tasks of one call that cannot start: Redis serves no other client meanwhile.
local MAX_SKIPPED = RULES.MAX_CAPPED_MOVES

-- `own`: ids of tasks that this call has settled.
local function claim_tasks(own, last_claim, paused, has_deferred)
  if last_claim and string.sub(last_claim, 1, #claim.id + 1) == claim.id .. ' ' then return repeat_claim(own, last_claim, has_deferred) end

  expire_leases(claim.max_running, has_deferred)
  expire_queue_timeouts(has_deferred)
  queue_delayed()
  has_deferred = run_deferred(has_deferred)
  local claimed, ids, skipped, bytes, queues_left = {}, {}, 0, 0, nil
  local wanted, is_capped = math.min(claim.wanted, MAX_CLAIMED), claim.max_running > 0
  while #claimed < wanted and skipped < MAX_SKIPPED and cascaded < 2 * MAX_CASCADE and bytes < MAX_CLAIMED_BYTES and not paused do
    local id, queue_number, score = pop(wanted - #claimed)
    if not id then
      -- Queues with tasks of which none was popped: a share was lost.
      queues_left = count_queues()
      if queues_left == 0 or not mend_shares() then break end
      queues_left, id, queue_number, score = nil, pop(wanted - #claimed)
      if not id then break end
    end
    local task = find(id)
    local status = task and task.state.status
    if status == 'LOST' or (status == 'PENDING' and queue_number == 1 and task.state.lease == 0) then
      fail_lost(task)
      skipped = skipped + 1
    elseif status ~= 'PENDING' then
      -- Its record was lost, or it does not wait.
      skipped = skipped + 1
    elseif has_deferred and cancel_if_superseded(task, queue_number, score) then
      skipped = skipped + 1
    elseif is_capped and count_running(task.terms.tenant, claim.max_running) >= claim.max_running then
      hold_at_cap(id, task.terms.tenant, queue_number, score)
      skipped = skipped + 1
    else
      task = task_for_place(task, queue_number, score, has_deferred)
      local lost = lost_workers(task, task.state.attempt + 1)
      local is_alone = lost and lost[3] == 1
      local has_request, request = read_request(task)
      if has_request then
        start_attempt(task, is_alone and claim.beside + #claimed > 0 and 'queued' or 'started')
        local size
        claimed[#claimed + 1], size = claimed_task(task, lost, request)
        ids[#ids + 1], bytes = task.id, bytes + size
        if is_alone then break end
      else
        fail_lost(task, false)
        skipped = skipped + 1
      end
    end
  end
  if #unnotified > 0 then has_deferred, queues_left = run_deferred(has_deferred), nil end
  if #claimed + #ended + #expired > 0 then
    local expired_leases = #expired > 0 and cjson.encode(expired) or ''
    call('SET', last_claim_key, claim.id .. ' ' .. table.concat(ids, ' ') .. ';' .. table.concat(ended, ' ') .. ';' .. expired_leases, 'PX', claim.lease_duration)
  end
  -- While the queue is paused, a work signal would lead workers to nothing.
  queues_left = queues_left or (paused and 0 or count_queues())
  -- More queues than shares: a share was lost. The queue of tasks that have run before has none, so that this may look once too often.
  if shares and queues_left > (shares.high and 1 or 0) + (shares.normal and 1 or 0) + (shares.low and 1 or 0) then mend_shares() end
  if not paused and queues_left > 0 then notify_workers() end
  return finish_call(claimed, own, has_deferred, expired)
end
