/** What a parser of event streams has to be for `main.ts` to measure it. */

export interface Parser {
  /** Takes the bytes that came in with one read. */
  readonly feed: (chunk: Uint8Array) => void
}

/** Makes a parser for one response; `event` is called with the data of every event, a string that is there. */
export type Open = (event: (data: string) => void) => Parser
