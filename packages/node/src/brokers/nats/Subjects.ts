/**
 * Where in NATS what is: the subjects that a prefix stands before. Those who publish in another language write to them
 * too, see docs/brokers/nats.md. Pure.
 */

export interface Subjects {
  /** Of a topic in the log: what is published to it gets its place. */
  readonly log: (topic: string) => string
  /** Of a topic, where the server tells what has its place. */
  readonly live: (topic: string) => string
  readonly cast: (channel: string) => string
  readonly everyLog: string
  readonly everyLive: string
}

/** Whether subjects can begin with it: words of letters, digits, `-` and `_`, with dots between them; 64 bytes at most. */
export const isPrefix = (prefix: string): boolean =>
  prefix.length <= 64 && /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(prefix)

/**
 * One word of a subject for any text that is well-formed: base64url of its UTF-8, as a word has no dots, spaces, `*` or
 * `>`. Nothing is `_`, which is base64url of nothing.
 */
export const word = (text: string): string => (text === "" ? "_" : Buffer.from(text, "utf8").toString("base64url"))

export const make = (prefix: string): Subjects => ({
  log: (topic) => `${prefix}.log.${word(topic)}`,
  live: (topic) => `${prefix}.live.${word(topic)}`,
  cast: (channel) => `${prefix}.cast.${word(channel)}`,
  everyLog: `${prefix}.log.>`,
  everyLive: `${prefix}.live.>`
})
