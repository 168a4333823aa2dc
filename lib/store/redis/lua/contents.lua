#!lua flags=no-writes
-- contents: the contents of charts, as many of the first ones as fit.
-- KEYS[1] prefix
-- ARGV[1] now (ms, '' = TIME)  [2] bytes, then chart_ids
-- Returns { content, or false where there is none … } and, last, the bytes of the first content that does not fit
-- Atomic because a content must not expire between its measurement and its read.
--- @include "start"
local contents, room = {}, tonumber(ARGV[2])
for i = 3, #ARGV do
  local key = P .. 'chart:' .. ARGV[i]
  local bytes = call('STRLEN', key)
  if bytes == 0 then
    contents[#contents + 1] = false
  elseif bytes <= room then
    room = room - bytes
    contents[#contents + 1] = call('GET', key)
  else
    contents[#contents + 1] = bytes
    break
  end
end
return contents
