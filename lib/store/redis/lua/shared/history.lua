-- The history is kept in one hash for every ten minutes: few keys, and all of one is read at once.
local SLOT = 600000
local function slot_of(time) return Q .. 'history:' .. digits[time - time % SLOT] end
