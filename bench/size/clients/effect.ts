/** No client: the least of Effect that any of them needs, which is to wait for something in a scope and to read a stream. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const messages = Stream.fromPull(
  Effect.succeed(
    Effect.callback<readonly [string]>((resume) => {
      addEventListener("message", ({ data }) => resume(Effect.succeed([String(data)])), { once: true })
    })
  )
)

Effect.runFork(Effect.scoped(Stream.runForEach(messages, (message) => Effect.sync(() => console.log(message)))))
