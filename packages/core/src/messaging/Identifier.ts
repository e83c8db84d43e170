/**
 * Names that nobody can guess: of sessions, and of requests that may be asked again.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/** 22 characters of 6 random bits each, from the platform's cryptography. Who wants others provides them. */
export const Source: Context.Reference<() => string> = Context.Reference("@millrace/core/messaging/Identifier", {
  defaultValue: () => () => {
    let text = ""
    for (const byte of crypto.getRandomValues(new Uint8Array(22))) text += alphabet[byte & 63]!
    return text
  }
})

/** A new one. */
export const next: Effect.Effect<string> = Effect.contextWith((context: Context.Context<never>) =>
  Effect.sync(Context.get(context, Source))
)
