-- Claims one job without waiting: one whose lease ran out, else the oldest that waits.
-- KEYS: stream. ARGV: group, consumer, lease in ms (0: look at waiting jobs only).
-- Answers {entry, order, deliveries} or nil.
local stream, group, consumer, lease = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])

while lease > 0 do
  local late = redis.pcall('XPENDING', stream, group, 'IDLE', lease, '-', '+', 1)
  if late.err or #late == 0 then break end
  local entry, deliveries = late[1][1], late[1][4]
  local got = redis.call('XCLAIM', stream, group, consumer, 0, entry)
  if type(got[1]) == 'table' then return {entry, got[1][2][2], deliveries + 1} end
  redis.call('XACK', stream, group, entry) -- deleted under its claim: nothing to hand out
end

local function read()
  return redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '>')
end
local got = read()
if got and got.err then
  -- Most likely an emptied server that knows no group. Whatever else it is comes back on the second read.
  redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
  got = read()
  if got and got.err then return got end
end
if not got then return nil end
local entry = got[1][2][1]
return {entry[1], entry[2][2], 1}
