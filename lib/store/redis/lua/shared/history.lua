-- Two hashes for every hour, so that there are few keys, and one command reads all of an hour: `history` has what was counted in each minute,
-- `failed` the latest failures. A field is one text of words, name=value: Redis reads that in a fraction of the time that fifty fields take.
local HOUR = 3600000
local function hour_key(kind, time) return Q .. kind .. ':' .. digits[time - time % HOUR] end
