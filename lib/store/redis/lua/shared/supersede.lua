-- Newer tasks of a message supersede the unfinished ones. `owner` is 'message_id:user'.

-- Decides in one step that all unfinished tasks of a message are superseded but those in `kept` (id → terms, or false where they are not
-- known). Cancels those that run, as far as one call may; the rest is deferred.
local function supersede(owner, kept)
  local index, message = P .. 'message_tasks:' .. owner, string.sub(owner, 1, 36)
  local newest = first_of(index)[2]
  local kept_entries = {}
  for id, terms in pairs(kept) do
    local score = terms and terms.message == message and call('ZSCORE', index, id)
    if score and not is_superseded(id, terms) then kept_entries[#kept_entries + 1] = { id, tonumber(score), terms } end
  end
  -- A task is superseded by its score in the index: kept tasks become newer than those, in the order that they had.
  table.sort(kept_entries, function(a, b) return a[2] > b[2] end)
  for _, one in ipairs(kept_entries) do
    local id, score, terms = unpack(one)
    local pointer_to_it, pointer = digits[score - FAR], call('ZSCORE', index, '=' .. terms.dedup_key)
    index_active(index, id, terms.dedup_key, first_of(index))
    -- Another task answered for the dedup key, or may.
    if not pointer or digits[tonumber(pointer)] ~= pointer_to_it then clear_answer(index, terms.dedup_key) end
  end
  call('ZADD', Q .. 'superseded', newest, owner)
  for _, id in ipairs(call('ZINTER', 2, index, Q .. 'processing', 'AGGREGATE', 'MIN')) do
    if cascaded >= MAX_CASCADE then break end
    local task = find(id)
    if task and is_superseded(id, task.terms) then cancel_task(id) end
  end
end

-- Cancels tasks of one message that were superseded. Returns false if there is no such message.
local function cancel_superseded()
  local owner, newest = unpack(call('ZREVRANGE', Q .. 'superseded', 0, 0, 'WITHSCORES'))
  if not owner then return false end
  local index, room = P .. 'message_tasks:' .. owner, MAX_CASCADE - cascaded
  local ids = call('ZRANGEBYSCORE', index, newest, '(0', 'LIMIT', 0, room)
  fetch(ids)
  for _, id in ipairs(ids) do
    -- A task whose record was lost would stay at the head of the index.
    if not cancel_task(id) then call('ZREM', index, id) end
  end
  if #ids < room then call('ZREM', Q .. 'superseded', owner) end
  return true
end
