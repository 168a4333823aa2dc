-- A task as an index names it, so that a reply is small whatever was asked for: its id, when it was created, and when it ended or false.
-- False once its retention has passed.
local function ref(id)
  local t = call('HMGET', record(id), 'created', 'completed', 'expires')
  if not t[1] or (t[3] and tonumber(t[3]) <= now) then return false end
  return { id, t[1], t[2] }
end
