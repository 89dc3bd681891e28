-- Takes jobs out for good, each if its claim still holds it (see renew.lua).
-- KEYS: stream, index. ARGV: group, consumer, then entry, deliveries and order of each claim.
-- Answers how many were taken out.
local stream, index, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local taken = 0
for i = 3, #ARGV, 3 do
  local entry, deliveries, order = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local held = redis.pcall('XPENDING', stream, group, entry, entry, 1)
  if held.err then return held end
  if #held == 1 and held[1][2] == consumer and held[1][4] == deliveries then
    redis.call('XACK', stream, group, entry)
    redis.call('XDEL', stream, entry) -- so that the stream's length is the depth
    if redis.call('HGET', index, order) == entry then redis.call('HDEL', index, order) end
    taken = taken + 1
  end
end
return taken
