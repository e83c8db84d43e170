/**
 * `eventsource-parser` as it comes, each event a call. It takes strings and bytes are what a network gives, so a decoder
 * stands before it, as its own documentation has it.
 */
import { createParser } from "eventsource-parser"
import type { Open } from "./Parser.ts"

export const open: Open = (event) => {
  const decoder = new TextDecoder()
  const parser = createParser({ onEvent: ({ data }) => event(data) })
  return { feed: (chunk) => parser.feed(decoder.decode(chunk, { stream: true })) }
}
