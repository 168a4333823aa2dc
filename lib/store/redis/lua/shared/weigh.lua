-- Bytes of a record that was read: its request, its fields with the history of long error messages, its steps and checkpoints.
local function weigh(known)
  local bytes = #(known[4] or '')
  for _, part in ipairs({ 2, 3, 6 }) do
    for _, text in ipairs(known[part] or {}) do bytes = bytes + #text end
  end
  return bytes
end
