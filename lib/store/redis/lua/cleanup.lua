#!lua flags=allow-oom
-- cleanup: removes what its retention has passed, a bounded number at a time.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] most to remove
-- Returns how many were removed
--- @include "base"
local ids = call('ZRANGEBYSCORE', P .. 'finished', '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
for _, id in ipairs(ids) do
  local chart = call('HGET', record(id), 'chart')
  if chart then call('DEL', P .. 'chart:' .. chart) end
  call('DEL', record(id), details(id), request(id))
  call('ZREM', P .. 'finished', id)
end
-- A version of the package that keeps no list of unfinished tasks may have ended some of them.
for _, id in ipairs(call('ZRANDMEMBER', P .. 'active', 100)) do
  local status = call('HGET', record(id), 'status')
  if status ~= 'PENDING' and status ~= 'PROCESSING' then call('ZREM', P .. 'active', id) end
end
return #ids
