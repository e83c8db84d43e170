/**
 * Which life of something it is that speaks for a node: a node keeps its id when a part of it is made anew, and what the
 * others know of the part that was there before says nothing of the new one.
 */

const lives = new WeakMap<object, number>()

/** Milliseconds since 1970, or more: each is higher than the one before it of the same broker. */
export const next = (broker: object, now: number): number => {
  const life = Math.max(Math.floor(now), (lives.get(broker) ?? 0) + 1)
  lives.set(broker, life)
  return life
}
