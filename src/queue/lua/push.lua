-- Adds jobs, all or none; an order that already waits is left out. Jobs that are restored say so, and one whose order is
-- claimed is left out as well.
-- KEYS: stream, index (order -> its newest entry). ARGV: group, bound, 1 to restore, orders...
-- Answers how many were added, or -1 when the bound forbids it.
local stream, index, group, bound, restores = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'

-- The index is only a hint: an entry counts when the stream still has it and, unless jobs are restored, nobody has
-- claimed it.
local function is_there(entry)
  if not entry or #redis.call('XRANGE', stream, entry, entry) == 0 then return false end
  if restores then return true end
  local claimed = redis.pcall('XPENDING', stream, group, entry, entry, 1)
  return claimed.err ~= nil or #claimed == 0
end

local depth = redis.call('XLEN', stream)
if depth == 0 then redis.call('DEL', index) end

local PIECE = 1000 -- as many as a call can take with ease
local missing, seen = {}, {}
for first = 4, #ARGV, PIECE do
  local newest = redis.call('HMGET', index, unpack(ARGV, first, math.min(first + PIECE - 1, #ARGV)))
  for i, entry in ipairs(newest) do
    local order = ARGV[first + i - 1]
    if not seen[order] and not is_there(entry) then missing[#missing + 1] = order end
    seen[order] = true
  end
end
if #missing > 0 and depth + #missing > bound then return -1 end

local mark = restores and {'restored', '1'} or {}
local added = {}
for _, order in ipairs(missing) do
  added[#added + 1] = order
  added[#added + 1] = redis.call('XADD', stream, '*', 'order', order, unpack(mark))
  if #added >= PIECE then
    redis.call('HSET', index, unpack(added))
    added = {}
  end
end
if #added > 0 then redis.call('HSET', index, unpack(added)) end
return #missing
