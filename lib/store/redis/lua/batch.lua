#!lua flags=no-writes
-- batch: the tasks of a batch that are still kept, in the order of the request.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] batch_id
-- Returns { user_id, { ref … } }, or { false } for an unknown one
-- Atomic because a task must not expire between the batch and the read.
--- @include "base"
--- @include "ref"
local user, task_ids = unpack(call('HMGET', Q .. 'batch:' .. ARGV[2], 'user', 'ids'))
if not user or not task_ids then return { false } end
local ids, refs = {}, {}
for id in string.gmatch(task_ids, '%S+') do ids[#ids + 1] = id end
each_ref(ids, function(ref) refs[#refs + 1] = ref end)
if #refs == 0 then return { false } end
return { user, refs }
