-- After start.lua; ARGV[8] lane (0 or 1).
-- The key of what a worker was given last, in case the reply was lost. It may have two claims under way, one in each lane.
local function note_of(worker) return Q .. 'take:' .. worker .. (ARGV[8] == '0' and '' or ':' .. ARGV[8]) end
