-- Takes a job out for good, if the claim still holds it (see renew.lua).
-- KEYS: stream, index. ARGV: group, consumer, entry, deliveries, order.
-- Answers 1, or 0 when the claim was lost.
local stream, index, group, consumer, entry = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local held = redis.pcall('XPENDING', stream, group, entry, entry, 1)
if held.err then return held end
if #held == 0 or held[1][2] ~= consumer or held[1][4] ~= tonumber(ARGV[4]) then return 0 end
redis.call('XACK', stream, group, entry)
redis.call('XDEL', stream, entry) -- so that the stream's length is the depth
if redis.call('HGET', index, ARGV[5]) == entry then redis.call('HDEL', index, ARGV[5]) end
return 1
