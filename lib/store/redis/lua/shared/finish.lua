--- @include "unrun"
-- Brings tasks into a final status.

-- Ids of the tasks that this call has ended, in order and as a set; and { id, whether it completed } of those whose dependents have not been
-- notified (dependents.lua).
local ended, has_ended, unnotified = {}, {}, {}

-- Tasks that one call ends or releases because of others: Redis serves no other client meanwhile. The rest is deferred (deferred.lua).
local MAX_CASCADE = RULES.MAX_CASCADE
local cascaded = 0

-- The one way into a final status: retention starts here, and nothing changes the task any more.
local function finish(task, status)
  local id, terms, state = task.id, task.terms, task.state
  local keep_task, keep_index, extras = terms.keep_task, terms.keep_index, state.extras or {}
  ended[#ended + 1], has_ended[id], unnotified[#unnotified + 1] = id, true, { id, status == 'COMPLETED' }
  -- Each of its Idempotency-Keys and batches costs a command, too.
  cascaded = cascaded + 1 + math.floor((#(extras.keys or {}) + #(extras.batches or {})) / 100)

  state.status, state.step, state.completed, state.claim_id = status, string.lower(status), now, ''
  extras.waits = nil
  if status == 'CANCELLED' then shorten_request(task) end
  if state.lease == 0 then limit_unrun(id, terms.tenant, keep_task) end
  announce(task)

  if state.lease > 0 then keys_to_delete[#keys_to_delete + 1] = Q .. 'checkpoints:' .. id end
  if task.has_request_key then call('PEXPIRE', request_key(id), digits[keep_task]) end
  if extras.has_attempts then call('PEXPIRE', Q .. 'attempts:' .. id, keep_task) end
  for _, key in ipairs(extras.keys or {}) do call('PEXPIRE', Q .. 'idempotency:' .. key, keep_task) end
  active_changes[id], finished_changes[id] = false, now + keep_task
  finished_ttl = math.max(finished_ttl, keep_task)

  local has_chart = status == 'COMPLETED'
  index_ended(message_index_of(terms), id, terms.dedup_key, keep_task, keep_index, has_chart)
  if has_chart and terms.shared ~= '' then index_chart(P .. 'message_charts:' .. terms.message .. ':' .. terms.shared, id, keep_task, keep_index) end
  for _, batch in ipairs(extras.batches or {}) do end_in_batch(batch, keep_task) end
end

-- After commit: replies of the tasks that this call has ended. `own`: ids that are left out.
local function ended_besides(own)
  local replies = {}
  for _, id in ipairs(ended) do
    if not own[id] then replies[#replies + 1] = task_reply(id) or nil end
  end
  return replies
end
