/** Our parser, as a stream of batches has it: what one read brought comes as one array. */
import * as EventStream from "@millrace/core/codec/EventStream"
import type { Open } from "./Parser.ts"

/** One of the loads has lines of a mebibyte, and their fields' names. */
const limits: EventStream.Limits = { maxLineBytes: 2 ** 22, maxEventBytes: 2 ** 22 }

export const open: Open = (event) => {
  const parser = EventStream.makeParser(limits)
  return {
    feed: (chunk) => {
      const { events, violation } = parser.push(chunk)
      if (violation !== undefined) throw violation
      for (const { data } of events) event(data)
    }
  }
}
