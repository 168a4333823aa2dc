--- @include "start"
-- The key of what a worker claimed last (claim-tasks.lua). ARGV[2] worker  [8] lane (0 or 1)
local last_claim_key = Q .. 'claim:' .. ARGV[2] .. (ARGV[8] == '0' and '' or ':' .. ARGV[8])
