-- Bytes of a task as a reply holds it.
local function reply_bytes(one) return #one[1] + #(one[2] or '') + #(one[4] or '') end
