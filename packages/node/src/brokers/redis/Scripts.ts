/**
 * What Redis does in one step, as Lua. A script sees and changes the log while nobody else does, so that the order in
 * which publications get their offsets is the order in which they are told, and a repeat is never published twice.
 *
 * Their arguments are for who publishes in another language, too: docs/brokers/redis.md has them. All begin with the
 * same four, which a log is made with when there is none: its epoch, the server's run, for how many milliseconds the
 * last offset of a topic is known, and 1 if the server forgets keys when it is full.
 */
import { createHash } from "node:crypto"

export interface Script {
  readonly text: string
  /** By which the server knows it, when it has been loaded: SHA-1 of the text, in hex. */
  readonly sha: string
}

/**
 * `born` is written beside everything that holds an offset: when the log alone was deleted, what is left of it must
 * not be read as the next one's. Time never goes back, whatever the clock does, so that what is behind a mark in the log is
 * behind it in time. A log that somebody else has written to, so that it says no place, is none: one is made anew.
 */
const opening = `
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
`

/**
 * What is not known of a topic any more was published longer than `keep` ago, which is before the first mark that is
 * younger. A server that forgets keys when it is full may have forgotten it a moment ago; and so may somebody else have
 * made it be forgotten, when there is something in its place that is none, or nothing while there are entries still.
 */
const last = `
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
`

/**
 * Keys: log, marks, topic, last, and a producer if there is a key. Then: PUBLISH or SPUBLISH, the channel, the parcel,
 * how many entries and for how many milliseconds; with a key the window in milliseconds, the epoch and the sequence.
 * Where somebody else has put something in the topic's place behind which nothing can be added, it is made anew.
 *
 * Answers with what was done (0 appended, 1 repeated, 2 stale), the epoch and the offset.
 */
const appending = `
${opening}
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
${last}
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
redis.call(ARGV[5], ARGV[6], epoch .. " " .. mine .. " " .. previous .. "\\n" .. ARGV[7])
return { 0, epoch, mine }
`

/**
 * Keys: log, marks, topic, last. Then: the epoch and the offset to read behind, from where on to read backwards (`+` for
 * the end, or `(` and the id of an entry), for how many milliseconds entries count, how many more are wanted, and after
 * how many bytes to leave off.
 *
 * Answers with the log's epoch and offset, 1 if the position is one of this log, the last offset of the topic or one
 * that it is not above, 1 if there is more to read, and the entries, the newest first: id, previous, parcel.
 */
const reading = `
${opening}
${last}
local mine = ARGV[5] == epoch and tonumber(ARGV[6]) <= offset
local after = mine and tonumber(ARGV[6]) or 0
if ARGV[5] ~= epoch then
  for its, base in string.gmatch(redis.call("HGET", KEYS[1], "before") or "", "(%S+) (%S+)") do
    if its == ARGV[5] then after = math.min(tonumber(ARGV[6]), tonumber(base)) end
  end
end
local entries, more = {}, 0
if known and tonumber(known) > after then
  local from, left, bytes = ARGV[7], tonumber(ARGV[9]), 0
  local oldest = text(math.max(now - tonumber(ARGV[8]), 0))
  local limit = tonumber(ARGV[10])
  local reached = false
  while left > 0 and not reached do
    local wanted = math.min(left, 32)
    local found = redis.pcall("XREVRANGE", KEYS[3], from, oldest, "COUNT", wanted)
    if found.err then break end
    for _, entry in ipairs(found) do
      local fields = entry[2]
      from = "(" .. entry[1]
      if fields[1] == "previous" and fields[3] == "parcel" and count(fields[2]) then
        if tonumber(string.match(entry[1], "%d+$")) <= after then
          reached = true
          break
        end
        left = left - 1
        bytes = bytes + #fields[4]
        entries[#entries + 1] = entry[1]
        entries[#entries + 1] = fields[2]
        entries[#entries + 1] = fields[4]
        if bytes >= limit then break end
      end
    end
    if bytes >= limit then
      if not reached and left > 0 then more = 1 end
      break
    end
    if #found < wanted then break end
  end
end
return { epoch, log[2], mine and 1 or 0, known or bound(), more, entries }
`

/**
 * Keys: log, marks. Answers with its epoch and offset. To delete nothing is to write all the same, which a server that
 * has become another's replica says no to.
 */
const locating = `
${opening}
local deleted = redis.pcall("HDEL", KEYS[1], "nothing")
if type(deleted) == "table" and string.find(deleted.err, "READONLY", 1, true) then return deleted end
return { epoch, log[2] }
`

/**
 * Keys: log, marks, check. Then: PUBLISH or SPUBLISH, and a channel. Answers as `locate` does.
 *
 * A server that was started again, or has taken over from another, may not have all that was acknowledged: the log goes
 * on in a new epoch. `before` says up to which offset it is the same as in the epochs before, so that nobody gets twice
 * what they had got then. All that the other scripts do is done once to a key that is then gone, so that a right which is
 * missing is missed now and not in the middle of a publication.
 */
const beginning = `
${opening}
if log[7] ~= ARGV[2] then
  local before = { epoch .. " " .. log[2] }
  for its, base in string.gmatch(redis.call("HGET", KEYS[1], "before") or "", "(%S+) (%S+)") do
    if #before < 16 then before[#before + 1] = its .. " " .. text(math.min(tonumber(base), offset)) end
  end
  redis.call("HSET", KEYS[1], "epoch", ARGV[1], "run", ARGV[2], "before", table.concat(before, " "))
  epoch = ARGV[1]
end
if tonumber(ARGV[3]) < keep then redis.call("HSET", KEYS[1], "keep", ARGV[3]) end
if log[6] ~= ARGV[4] then redis.call("HSET", KEYS[1], "evicts", ARGV[4]) end
local missed = false
local function try(...)
  local done = redis.pcall(...)
  if not missed and type(done) == "table" and done.err then
    local passes = false
    for _, code in ipairs({ "OOM", "MISCONF", "NOREPLICAS" }) do
      passes = passes or string.find(done.err, code .. " ", 1, true)
    end
    -- Of a right that is missing, Redis does not say which.
    if not passes then
      missed = redis.error_reply(string.gsub(done.err, "^ERR The user", "NOPERM the user") .. ": " .. select(1, ...))
    end
  end
end
local key = KEYS[3]
try("DEL", key)
try("HSET", key, "a", "1")
try("HLEN", key)
try("HKEYS", key)
try("HGET", key, "a")
try("HDEL", key, "a")
try("ZADD", key, "1", "a")
try("ZRANGEBYSCORE", key, "-inf", "+inf", "LIMIT", 0, 1)
try("ZREMRANGEBYSCORE", key, "-inf", "+inf")
try("XADD", key, "MINID", "~", "1", "1-1", "a", "1")
try("XLEN", key)
try("XTRIM", key, "MAXLEN", "~", 1)
try("XREVRANGE", key, "+", "-", "COUNT", 1)
try("DEL", key)
try("SET", key, "1", "PXAT", text(now + 1000))
try("GET", key)
try("PEXPIRE", key, "1000")
try("DEL", key)
try(ARGV[5], ARGV[6], "")
if missed then return missed end
return { epoch, log[2] }
`

const script = (text: string): Script => ({ text, sha: createHash("sha1").update(text).digest("hex") })

export const append = script(appending)
export const since = script(reading)
export const locate = script(locating)
export const begin = script(beginning)

export const all: ReadonlyArray<Script> = [append, since, locate, begin]
