-- Refs: tasks as an index names them, so that a reply is small however many there are. Only some words of a record are read: to parse all of
-- it takes several times as long, and an index may name a thousand tasks.
local TERMS_IN_REF = '^2 (%d+) %S+ %d* %S+ %S+ %l+ %d+ (%d+) %d+ %d+ %S+ (%S+) (%S+)'
local ENDED_IN_REF = '^%d+ (%u+) %d+ %S+ %d+ %d* %d* %d+ %d+ %d* (%d+) '

-- Returns { id, when it was created, when it ended or false }, its final status or nil, its user and its tenant. False once its retention has
-- passed.
local function to_ref(id, record)
  local first = record and string.find(record, '\n', 1, true)
  if not first then return false end
  local created, keep, tenant, user = string.match(record, TERMS_IN_REF, first + 1)
  local status, completed = string.match(record, ENDED_IN_REF)
  if not created or (completed and completed + keep <= now) then return false end
  return { id, created, completed or false }, status, user, to_tenant(tenant, user)
end

-- Calls `visit` with the ref, the final status and the user of each task that is kept, in order, until it returns true.
local function each_ref(ids, visit)
  for from = 1, #ids, MAX_ARGUMENTS do
    local names = {}
    for i = from, math.min(from + MAX_ARGUMENTS - 1, #ids) do names[#names + 1] = P .. 'task:' .. ids[i] end
    for i, record in ipairs(call('MGET', unpack(names))) do
      local ref, status, user = to_ref(ids[from + i - 1], record)
      if ref and visit(ref, status, user) then return end
    end
  end
end
