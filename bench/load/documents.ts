/**
 * Documents as applications send them: JSON of one shape whose values differ, the same ones in every run. What a
 * benchmark of compression needs, as one message sent again and again shrinks to almost nothing.
 */

const words = (
  "the of and to in is that it was for on are as with they at be this from have or by one had not but what all were " +
  "when we there can an your which their said if do will each about how up out them then she many some so these would " +
  "other into has more her two like him see time could no make than first been its who now people my made over did " +
  "down only way find use may water long little very after words called just where most know wheel stream river stone " +
  "grain miller sluice channel paddle timber harvest evening morning bridge village market letter answer question"
).split(" ")

const names = [
  "Ada Marsh",
  "Bo Whitlock",
  "Cyril Penn",
  "Dora Eel",
  "Edith Weir",
  "Frank Lock",
  "Gwen Ford",
  "Hal Brook"
]
const things = ["oak paddle", "millstone", "sack of flour", "iron axle", "leather belt", "sluice gate", "cog wheel"]

/** Numbers from 0 to 1 that look random: mulberry32. */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

/** One event with a few items and a text, which is as long as it takes. */
const event = (seed: number, size: number): string => {
  const next = random(seed)
  const below = (limit: number) => Math.floor(next() * limit)
  const hex = (digits: number) => Array.from({ length: digits }, () => below(16).toString(16)).join("")
  // Small indexes more often: so it is with words.
  const word = () => words[Math.floor(words.length * next() * next())] ?? ""
  const print = (text: string) =>
    JSON.stringify({
      id: identity,
      type: "order.updated",
      at: new Date(moment).toISOString(),
      room: `orders/${region}`,
      from,
      items,
      text
    })
  const identity = hex(24)
  const moment = 1_767_225_600_000 + seed * 60_000 + below(60_000)
  const region = ["north", "east", "south", "west"][below(4)]
  const from = { id: below(100_000), name: names[below(names.length)], role: next() < 0.2 ? "editor" : "member" }
  const items = Array.from({ length: 4 }, () => ({
    sku: `M-${below(10_000)}`,
    name: things[below(things.length)],
    quantity: 1 + below(12),
    price: below(100_000) / 100
  }))
  const room = size - print("").length
  let text = word()
  while (text.length < room) text += ` ${word()}`
  return print(text.slice(0, room))
}

const usual = 1024

/** A document of exactly `size` bytes of ASCII, at least 1,024: one event, or a list of them. */
export const document = (seed: number, size: number): Buffer => {
  if (size < 2 * usual) return Buffer.from(event(seed, size))
  const count = Math.floor((size - 1) / (usual + 1))
  const events = Array.from({ length: count - 1 }, (_, index) => event(seed * count + index, usual))
  const rest = size - 2 - (count - 1) * (usual + 1)
  return Buffer.from(`[${[...events, event(seed * count + count - 1, rest)].join(",")}]`)
}
