-- Starts the leases of this consumer's claims anew. A claim is fenced by its delivery count: once somebody else
-- (or this same consumer) has reclaimed the entry, the old claim holds nothing and is left alone.
-- KEYS: stream. ARGV: group, consumer, then entry and deliveries of each claim.
-- Answers the entries that are lost.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local lost = {}
for i = 3, #ARGV, 2 do
  local entry = ARGV[i]
  local held = redis.pcall('XPENDING', stream, group, entry, entry, 1)
  if held.err then return held end
  if #held == 1 and held[1][2] == consumer and held[1][4] == tonumber(ARGV[i + 1]) then
    redis.call('XCLAIM', stream, group, consumer, 0, entry, 'JUSTID')
  else
    lost[#lost + 1] = entry
  end
end
return lost
