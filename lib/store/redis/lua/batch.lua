#!lua flags=no-writes
-- batch: which tasks a batch has, in the order in which they were asked for, those that are still kept.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] batch_id
-- Returns { user_id, { ref … } }, or { false } for an unknown one
--- @include "base"
--- @include "ref"
local t = call('HMGET', Q .. 'batch:' .. ARGV[2], 'user', 'ids')
if not t[1] or not t[2] then return { false } end
local ids, refs = {}, {}
for id in string.gmatch(t[2], '%S+') do ids[#ids + 1] = id end
each_ref(ids, function(ref) refs[#refs + 1] = ref end)
if #refs == 0 then return { false } end
return { t[1], refs }
