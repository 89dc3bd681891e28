-- Takes jobs out for good, each if its claim still holds it (see renew.lua).
-- KEYS: stream, index. ARGV: group, consumer, then entry, deliveries and order of each claim.
-- Answers how many were taken out.
local stream, index, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

local entries, orders = {}, {}
for i = 3, #ARGV, 3 do
  local entry, deliveries = ARGV[i], tonumber(ARGV[i + 1])
  local held = redis.pcall('XPENDING', stream, group, entry, entry, 1)
  if held.err then return held end
  if #held == 1 and held[1][2] == consumer and held[1][4] == deliveries then
    entries[#entries + 1], orders[#orders + 1] = entry, ARGV[i + 2]
  end
end

local PIECE = 1000 -- as many as a call can take with ease
for first = 1, #entries, PIECE do
  local last = math.min(first + PIECE - 1, #entries)
  redis.call('XACK', stream, group, unpack(entries, first, last))
  redis.call('XDEL', stream, unpack(entries, first, last)) -- so that the stream's length is the depth
  local newest, gone = redis.call('HMGET', index, unpack(orders, first, last)), {}
  for i, entry in ipairs(newest) do
    if entry == entries[first + i - 1] then gone[#gone + 1] = orders[first + i - 1] end
  end
  if #gone > 0 then redis.call('HDEL', index, unpack(gone)) end
end
return #entries
