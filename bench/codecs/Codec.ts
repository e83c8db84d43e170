/** What a codec has to be for `main.ts` to measure it. */

export interface Codec {
  /** Takes the bytes that came in with one read. They are the codec's own: it may unmask them where they lie. */
  readonly feed: (chunk: Buffer) => void
}

/** Makes a server's decoder; `message` is called with every whole, unmasked and valid message's length in bytes. */
export type Open = (message: (length: number) => void) => Codec
