/** A page's own line to a server: a proxy of `proxies.ts`, which the page cuts, stops and mends. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { inject } from "vitest"

export interface Line {
  /** Of 127.0.0.1, in the place of the server's. */
  readonly port: number
  /** Ends all connections; new ones can be made at once. */
  readonly cut: Effect.Effect<void>
  /** Nothing passes any more, and nobody is told. New connections are taken, and silent. */
  readonly part: Effect.Effect<void>
  /** Ends what was parted, and lets new connections pass. */
  readonly mend: Effect.Effect<void>
  /** Ends all connections, and takes no new ones until it is mended. */
  readonly refuse: Effect.Effect<void>
}

const ask = (path: string) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${inject("servers").proxies}${path}`, { method: "POST" })
    if (!response.ok) throw new Error(`the proxies answer ${response.status} to ${path}`)
    return response.json()
  })

/** To that port of this machine. It is gone with the scope. */
export const to = (far: number): Effect.Effect<Line, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(ask(`/?port=${far}`), ({ id, port }) => {
      const command = (name: string) => Effect.asVoid(ask(`/${id}/${name}`))
      const line = {
        port,
        cut: command("cut"),
        part: command("part"),
        mend: command("mend"),
        refuse: command("refuse")
      }
      return { line, close: command("close") }
    }),
    ({ close }) => close
  ).pipe(Effect.map(({ line }) => line))
