local function text(number) return string.format("%.0f", number) end
local function count(value)
  local number = tonumber(value or "")
  return number and number >= 0 and number < 9007199254740991 and number == math.floor(number) and number
end
local clock = redis.call("TIME")
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local log = redis.call("HMGET", KEYS[1], "epoch", "offset", "time", "born", "keep", "evicts", "run", "marked")
local function word(value) return value and string.find(value, "^[^%s%c]+$") end
if not (word(log[1]) and count(log[2]) and count(log[3]) and word(log[4]) and count(log[5])) then
  log = { ARGV[1], "0", text(now), ARGV[1], ARGV[3], ARGV[4], ARGV[2], false }
  redis.call("DEL", KEYS[1], KEYS[2])
  redis.call("HSET", KEYS[1], "epoch", log[1], "offset", "0", "time", log[3], "born", log[4], "keep", log[5],
    "evicts", log[6], "run", log[7])
end
local epoch, offset, born, keep = log[1], tonumber(log[2]), log[4], tonumber(log[5])
now = math.max(now, tonumber(log[3]))

local producer, sequence, highest = KEYS[5], tonumber(ARGV[12] or ""), tonumber(ARGV[12] or "")
local another = false
if producer then
  local its = tonumber(ARGV[11])
  local before = redis.call("HMGET", producer, "born", "epoch", "highest", ARGV[12])
  if before[1] == born and its < tonumber(before[2]) then return { 2, epoch, "0" } end
  if before[1] == born and its == tonumber(before[2]) then
    highest = tonumber(before[3])
    if sequence <= highest - 1000 then return { 2, epoch, "0" } end
    if before[4] then return { 1, epoch, before[4] } end
    highest = math.max(highest, sequence)
  elseif before[1] then
    another = true
  end
end

local found = redis.pcall("GET", KEYS[4])
local words = type(found) == "string" and string.match(found, "^(%S+) %d+$")
local known = words == born and count(string.sub(found, #born + 2))
known = known and known <= offset and text(known)
local function bound()
  local spoiled = words == born or (found and not words) or (not found and redis.pcall("XLEN", KEYS[3]) ~= 0)
  if log[6] == "1" or spoiled then return log[2] end
  local mark = redis.pcall("ZRANGEBYSCORE", KEYS[2], "(" .. text(now - keep), "+inf", "LIMIT", 0, 1)
  return mark[1] or log[2]
end

local marked = tonumber(log[8] or "")
if not marked or now - marked >= keep / 16 then
  redis.call("ZADD", KEYS[2], text(now), text(offset))
  redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", text(now - 2 * keep))
  redis.call("HSET", KEYS[1], "marked", text(now))
end
local previous = known or bound()
offset = offset + 1
local mine = text(offset)
redis.call("HSET", KEYS[1], "offset", mine, "time", text(now))
if not known then redis.call("DEL", KEYS[3]) end
local most, age = tonumber(ARGV[8]), tonumber(ARGV[9])
if most > 0 then
  local function add()
    return redis.pcall("XADD", KEYS[3], "MINID", "~", text(math.max(now - age, 0)), text(now) .. "-" .. mine,
      "previous", previous, "parcel", ARGV[7])
  end
  local added = add()
  local why = type(added) == "table" and added.err
  if why and (string.find(why, "WRONGTYPE", 1, true) or string.find(why, "equal or smaller", 1, true)) then
    redis.call("DEL", KEYS[3])
    added = add()
    why = type(added) == "table" and added.err
  end
  if why then return added end
  if redis.call("XLEN", KEYS[3]) > most + 64 then redis.call("XTRIM", KEYS[3], "MAXLEN", "~", most) end
  redis.call("PEXPIRE", KEYS[3], text(age + 1000))
end
redis.call("SET", KEYS[4], born .. " " .. mine, "PXAT", text(now + math.max(keep, 2 * age)))
if producer then
  if another then redis.call("DEL", producer) end
  redis.call("HSET", producer, "born", born, "epoch", ARGV[11], "highest", text(highest), ARGV[12], mine)
  if redis.call("HLEN", producer) > 1003 and redis.call("HDEL", producer, text(sequence - 1000)) == 0 then
    local old = {}
    for _, field in ipairs(redis.call("HKEYS", producer)) do
      local number = tonumber(field)
      if number and number <= highest - 1000 then old[#old + 1] = field end
    end
    for at = 1, #old, 1000 do
      redis.call("HDEL", producer, unpack(old, at, math.min(at + 999, #old)))
    end
  end
  redis.call("PEXPIRE", producer, ARGV[10])
end
if not known and previous ~= "0" and log[6] ~= "1" then previous = "" end
redis.call(ARGV[5], ARGV[6], epoch .. " " .. mine .. " " .. previous .. "\n" .. ARGV[7])
return { 0, epoch, mine }
