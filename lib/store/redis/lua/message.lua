#!lua flags=no-writes
-- message: which tasks of a message a caller may see, newest first.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] message_id  [3] user_id  [4] org or ''  [5] most of each kind  [6] given: active ones only
-- Returns { active, completed, failed, completed of others in the org, now }, each but the last a list of refs; with [6] { active }
-- Atomic because a task that completes meanwhile must be found once, not twice or never.
--- @include "base"
--- @include "message-index"
--- @include "ref"
local index = P .. 'message_tasks:' .. ARGV[2] .. ':' .. ARGV[3]
local limit = tonumber(ARGV[5])
-- More than the limit, because cancelled tasks, and tasks that are no longer kept, are left out.
local PAGE, MAX_READ = 100, 1000

local active = {}
each_ref(call('ZRANGEBYSCORE', index, FIRST, '(0', 'LIMIT', 0, limit), function(ref) active[#active + 1] = ref end)
if ARGV[6] then return { active } end

local found = { COMPLETED = {}, FAILED = {} }
local offset = 0
while offset < MAX_READ and (#found.COMPLETED < limit or #found.FAILED < limit) do
  local ids = call('ZREVRANGEBYSCORE', index, LAST, '(0', 'LIMIT', offset, PAGE)
  each_ref(ids, function(ref, status)
    local list = found[status]
    if list and #list < limit then list[#list + 1] = ref end
  end)
  if #ids < PAGE then break end
  offset = offset + PAGE
end

local others = {}
if ARGV[4] ~= '' then
  local ids = call('ZREVRANGEBYSCORE', P .. 'message_charts:' .. ARGV[2] .. ':' .. ARGV[4], '+inf', '(0', 'LIMIT', 0, 2 * limit)
  each_ref(ids, function(ref, _, user)
    if user ~= ARGV[3] then others[#others + 1] = ref end
    return #others == limit
  end)
end
return { active, found.COMPLETED, found.FAILED, others, tostring(now) }
