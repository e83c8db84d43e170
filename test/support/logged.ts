/** What a program logs, kept for the test in place of being printed. */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as References from "effect/References"

export interface Entry {
  readonly level: string
  readonly message: string
}

/** Runs an effect, also what it starts, with a logger that keeps entries of every level. */
export const logged = <A, E, R>(
  effect: (entries: ReadonlyArray<Entry>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const entries: Array<Entry> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      entries.push({ level: logLevel, message: String(Array.isArray(message) ? message[0] : message) })
    })
    return effect(entries).pipe(
      Effect.provideService(Logger.CurrentLoggers, new Set([logger])),
      Effect.provideService(References.MinimumLogLevel, "Trace")
    )
  })
