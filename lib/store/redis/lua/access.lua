#!lua flags=no-writes
-- access: which commands the Redis user may not run. Without KEYS, so that it also runs where the user has no access to the keys.
-- ARGV for each command three: its name, its first argument, and the others: a key, a channel, or 0
-- Returns the names of those that are refused
-- Redis 7.0 reads beyond the arguments of a command that lacks its keys, and may crash: each command is checked with more than it takes.
local refused = {}
for i = 1, #ARGV, 3 do
  local command, first, other = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if not redis.acl_check_cmd(command, first, other, other, other) then refused[#refused + 1] = command end
end
return refused
