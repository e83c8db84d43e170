/**
 * Standard input, a line at a time.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

/**
 * The lines of standard input, read no faster than they are taken. Only a line feed ends one, with or without a carriage
 * return: `node:readline` would also cut at U+2028, which JSON may hold.
 */
export const lines: Stream.Stream<string> = Stream.callback<string>((queue) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const input = process.stdin.setEncoding("utf8")
      let rest = ""
      const take = (chunk: string) => {
        rest += chunk
        if (!chunk.includes("\n")) return
        const whole = rest.split("\n")
        rest = whole.pop()!
        input.pause()
        const offered = Queue.offerAll(queue, whole.map(withoutReturn))
        Effect.runFork(
          Effect.andThen(
            offered,
            Effect.sync(() => input.resume())
          )
        )
      }
      const end = () => {
        const offered = rest === "" ? Effect.void : Queue.offer(queue, withoutReturn(rest))
        Effect.runFork(Effect.andThen(offered, Queue.end(queue)))
      }
      input.on("data", take).on("end", end).on("error", end)
      return () => input.off("data", take).off("end", end).pause()
    }),
    (stop) => Effect.sync(stop)
  )
)

const withoutReturn = (text: string): string => (text.endsWith("\r") ? text.slice(0, -1) : text)
