/** A stream of what a test says, heard by the one who pulls it in the very call that says it. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

export const telling = <A>() => {
  let hear: ((value: A) => void) | undefined
  const stream: Stream.Stream<A> = Stream.fromPull(
    Effect.succeed(
      Effect.callback<readonly [A]>((resume) => {
        hear = (value) => resume(Effect.succeed([value]))
      })
    )
  )
  return { stream, tell: (value: A) => hear!(value) }
}
