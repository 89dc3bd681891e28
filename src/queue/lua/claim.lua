-- Claims jobs without waiting: those whose lease ran out, then the oldest that wait.
-- KEYS: stream. ARGV: group, consumer, lease in ms (0: look at waiting jobs only), how many at most.
-- Answers a list of {entry, order, deliveries, 1 if nobody had the order before}.
local stream, group, consumer, lease, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local jobs = {}

if lease > 0 then
  local late = redis.pcall('XPENDING', stream, group, 'IDLE', lease, '-', '+', most)
  for _, held in ipairs(late.err and {} or late) do
    local entry, deliveries = held[1], held[4]
    local got = redis.call('XCLAIM', stream, group, consumer, 0, entry)
    if type(got[1]) == 'table' then
      jobs[#jobs + 1] = {entry, got[1][2][2], deliveries + 1, 0}
    else
      redis.call('XACK', stream, group, entry) -- deleted under its claim: nothing to hand out
    end
  end
end
if #jobs > 0 then return jobs end

local function read()
  return redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', most, 'STREAMS', stream, '>')
end
local got = read()
if got and got.err then
  -- Most likely an emptied server that knows no group. Whatever else it is comes back on the second read.
  redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
  got = read()
  if got and got.err then return got end
end
if not got then return jobs end
for i, entry in ipairs(got[1][2]) do
  local fields = entry[2]
  jobs[i] = {entry[1], fields[2], 1, fields[3] == 'restored' and 0 or 1}
end
return jobs
