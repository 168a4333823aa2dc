#!lua flags=no-writes
-- batch: the tasks of a batch as they are now, in the order in which they were asked for.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] batch_id
-- Returns { user_id, { record … } }, or { false } for an unknown one
--- @include "base"
local t = call('HMGET', P .. 'batch:' .. ARGV[2], 'user', 'ids')
if not t[1] then return { false } end
local records = {}
for id in string.gmatch(t[2], '%S+') do records[#records + 1] = read(id) or nil end
if #records == 0 then return { false } end
return { t[1], records }
