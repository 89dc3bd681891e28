-- Makes the group, and forgets consumers of processes that are long gone and hold nothing.
-- KEYS: stream. ARGV: group, idle time in ms after which a consumer counts as gone.
local stream, group = KEYS[1], ARGV[1]
redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM') -- an error says that it exists
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local fact = {}
  for i = 1, #consumer, 2 do fact[consumer[i]] = consumer[i + 1] end
  if fact.pending == 0 and fact.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, fact.name)
  end
end
return 1
