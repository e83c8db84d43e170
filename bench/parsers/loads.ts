/**
 * Event streams as servers send them, and the reads in which they come. The same each time, and written without the
 * printer of the toolkit, so that the two cannot be wrong together.
 *
 * `small` and `deltas` have the shapes and the cuts of `identified-event` and `small-chunk`, with which
 * `eventsource-parser` measures itself; it feeds strings, though, and a socket gives bytes. `large` is what its issues
 * 19 and 28 are about: one line in many reads. `small-64k` and `large-256k` are these kinds where they are the hardest
 * for us.
 */

export interface Load {
  readonly chunks: ReadonlyArray<Uint8Array>
  /** Events in all the chunks together. */
  readonly events: number
  /** UTF-16 units of all their data. */
  readonly units: number
}

/** Numbers below `below`, which look random and are the same in each process. */
const makeRandom = () => {
  let state = 20_260_101
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const encoder = new TextEncoder()

/** Each chunk has a buffer of its own, as a socket's reads have. */
const cut = (bytes: Uint8Array, size: () => number): ReadonlyArray<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length;) {
    const chunk = bytes.slice(at, at + size())
    chunks.push(chunk)
    at += chunk.length
  }
  return chunks
}

const read = 65_536

const load = (
  blocks: ReadonlyArray<readonly [block: string, data: string]>,
  chunks: (blocks: ReadonlyArray<string>) => ReadonlyArray<Uint8Array>
): Load => ({
  chunks: chunks(blocks.map(([block]) => block)),
  events: blocks.length,
  units: blocks.reduce((sum, [, data]) => sum + data.length, 0)
})

const words = "the water turns a wheel and the wheel turns a stone that grinds what the fields have grown".split(" ")

/** An id, a name, and a few bytes of JSON: 60 bytes an event. */
const ticks = (count: number): ReadonlyArray<readonly [string, string]> => {
  const random = makeRandom()
  return Array.from({ length: count }, (_, index) => {
    const data = JSON.stringify({ index, word: words[random(words.length)] })
    return [`id: ${1000 + index}\nevent: tick\ndata: ${data}\n\n`, data] as const
  })
}

/** What a language model answers, a token an event: 200 bytes of JSON around a word. */
const tokens = (count: number): ReadonlyArray<readonly [string, string]> => {
  const random = makeRandom()
  return Array.from({ length: count }, () => {
    const data = JSON.stringify({
      id: "chatcmpl-4f1c2a9be07d4c55a3b8",
      object: "chat.completion.chunk",
      created: 1_767_225_600,
      model: "millstone-1",
      choices: [{ index: 0, delta: { content: ` ${words[random(words.length)]}` }, finish_reason: null }]
    })
    return [`data: ${data}\n\n`, data] as const
  })
}

const documents = (count: number, size: number): ReadonlyArray<readonly [string, string]> =>
  Array.from({ length: count }, () => {
    const data = words
      .join(" ")
      .repeat(Math.ceil(size / 90))
      .slice(0, size)
    return [`data: ${data}\n\n`, data] as const
  })

const whole = (blocks: ReadonlyArray<string>) => cut(encoder.encode(blocks.join("")), () => read)

/** The loads, by name. Each is made when it is asked for. */
export const loads: Readonly<Record<string, () => Load>> = {
  small: () => load(ticks(10_000), (blocks) => blocks.map((block) => encoder.encode(block))),
  "small-64k": () => load(ticks(40_000), whole),
  deltas: () =>
    load(tokens(1_000), (blocks) => {
      const random = makeRandom()
      return cut(encoder.encode(blocks.join("")), () => 1 + random(15))
    }),
  large: () => load(documents(16, 1_048_576), whole),
  "large-256k": () => load(documents(64, 262_144), whole)
}

/** One event with so many bytes of data, to be cut by whoever feeds it. */
export const one = (size: number): Uint8Array => encoder.encode(documents(1, size)[0]?.[0])
