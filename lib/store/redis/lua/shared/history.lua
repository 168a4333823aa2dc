-- Two hashes for every hour, so that there are few keys and all of one is read at once: `history` has what was counted in each minute,
-- `failed` its latest failures. Each is words with a space between, name=value, because one field is read in a fraction of the time of fifty.
local HOUR = 3600000
local function hour_of(kind, time) return Q .. kind .. ':' .. digits[time - time % HOUR] end
