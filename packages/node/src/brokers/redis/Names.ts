/**
 * What the keys and the channels are called, as docs/brokers/redis.md has it for who publishes in another language. All
 * keys have the prefix as their hash tag, so Redis Cluster has them on one node and a script may touch them all. Pure.
 */

export interface Names {
  /** A hash: where the log is. */
  readonly log: string
  /** A sorted set: where it was, and when. */
  readonly marks: string
  /** Holds nothing: what is asked for rights. */
  readonly check: string
  /** A stream: what was published to a topic. */
  readonly topic: (topic: string) => string
  /** A string: where the last publication of a topic is, which is known for longer than the publication. */
  readonly last: (topic: string) => string
  /** A hash: the keys of a producer. */
  readonly producer: (producer: string) => string
  /** What the channels begin with on which appended publications are told; then comes the topic. */
  readonly appended: string
  /** What the channels of casts begin with; then comes the name. */
  readonly cast: string
}

/** Channels are the same in all databases of a server, so theirs have its number in them. */
export const make = (prefix: string, database: number): Names => {
  const tag = `{${prefix}}:`
  return {
    log: `${tag}log`,
    marks: `${tag}marks`,
    check: `${tag}check`,
    topic: (topic) => `${tag}topic:${topic}`,
    last: (topic) => `${tag}last:${topic}`,
    producer: (producer) => `${tag}producer:${producer}`,
    appended: `${tag}${database}:appended:`,
    cast: `${tag}${database}:cast:`
  }
}

/** Of a prefix: it may not have braces, which would end the hash tag, and not be empty, which would make it none. */
export const isPrefix = (prefix: string): boolean => /^[^{}]+$/.test(prefix)

/** In which of the 16,384 slots of a Redis Cluster all keys of a prefix are: CRC-16/XMODEM of it. */
export const slotOf = (prefix: string): number => {
  let crc = 0
  for (const byte of new TextEncoder().encode(prefix)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff
  }
  return crc & 16_383
}
