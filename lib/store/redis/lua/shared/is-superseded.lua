-- Whether an unfinished task was superseded by newer ones of its message and waits to be cancelled. The sorted set `superseded` has for each
-- such message, as 'message_id:user', the score that the newest superseded task has in the message's index.
local function is_superseded(id, terms)
  local newest = call('ZSCORE', Q .. 'superseded', terms.message .. ':' .. terms.user)
  local score = newest and call('ZSCORE', message_index_of(terms), id)
  return score and tonumber(score) < 0 and tonumber(score) >= tonumber(newest) or false
end
