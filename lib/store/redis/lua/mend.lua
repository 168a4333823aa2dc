#!lua flags=allow-oom
-- mend: finds what was lost of the indexes and counts, a part at a time, and rebuilds it from the records. Gives up what cannot be rebuilt.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] cursor, '' to begin
-- Returns { the next cursor or '' at the end, how much was mended, 1 if more than usual is wrong }
-- Atomic because what it looks at must not move meanwhile. Runs where Redis is full: what is lost holds work up.
--- @include "lifecycle"
--- @include "counts"
--- @include "mend-tasks"
--- @include "mend-keys"

local function mend_turns()
  for _, priority in ipairs(PRIORITIES) do
    local key = Q .. 'turns:' .. priority
    local known = call('HGETALL', key)
    for i = 1, #known, 2 do
      local field, turn = known[i], tonumber(known[i + 1])
      -- '+tenant' and '=tenant' are no turns (capped.lua).
      local mark = string.sub(field, 1, 1)
      local is_mark = mark == '+' or mark == '='
      local has_waiting = counted('waiting', is_mark and string.sub(field, 2) or field) > 0
      if not has_waiting or (not is_mark and not (turn and not is_implausible_turn(priority, field, turn))) then
        call('HDEL', key, field)
        count_mended()
      end
    end
  end
end

local function has_sound_counts()
  local unfinished, running = call('ZCARD', Q .. 'active'), call('ZCARD', Q .. 'processing')
  return counted('waiting', '') + counted('running', '') == unfinished and counted('running', '') == running
end

-- The cursor is a stage and where it goes on: a(ctive tasks), s(canned keys), h(ash of states), c(ounts). At the end of a stage, the call goes
-- on with the next one: a small store takes one call.
local wrong, cursor = 0, ARGV[2]
if not string.find(cursor, '^%l:%d*$') then wrong, cursor = has_sound_counts() and 0 or 1, 'a:0' end
local from = string.match(cursor, '^a:(%d*)$')
if from then cursor = mend_active(tonumber(from)) end
from = string.match(cursor, '^s:(%d*)$')
if from then cursor = mend_scanned_keys(from) end
from = string.match(cursor, '^h:(%d*)$')
if from then cursor = mend_states(from) end
if string.find(cursor, '^c:') then
  repair_counts()
  mended = mended + miscounts
  mend_turns()
  if mend_shares() then count_mended() end
  if count_queues() > 0 then notify_workers() end
  cursor = ''
end

if next(deferred_entries) then
  call('SET', Q .. 'deferred', 1)
  notify_workers()
elseif call('EXISTS', Q .. 'unnotified', Q .. 'superseded') > 0 then
  -- The mark of deferred work was lost.
  call('SET', Q .. 'deferred', 1)
end
commit()
return { cursor, mended, wrong }
