/**
 * How a connection of a page is opened, whatever it stands on.
 */
import * as BearerSubprotocol from "@millrace/core/codec/BearerSubprotocol"
import {
  HandshakeTimeout,
  InvalidOptions,
  InvalidUrl,
  OpenError,
  Undisclosed
} from "@millrace/core/connection/OpenError"
import type { Link, Owner } from "@millrace/core/connection/Link"
import { LinkConnection, type LinkLimits } from "@millrace/core/connection/LinkConnection"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as PageClose from "./PageClose.ts"
import * as PageUrl from "./PageUrl.ts"

/** What opened, which is all that a platform tells of it. */
export interface Opened {
  /** Where, as it was resolved. */
  readonly url: string
}

/**
 * Opens a WebSocket of the platform, which has done the protocol already: frames, Pings, masks, compression and UTF-8 are
 * the browser's, and it tells nothing of them. Throws for what the platform does not take.
 */
export type Platform = (url: string, subprotocols: ReadonlyArray<string>, owner: Owner) => Link

/** What a connection may take, and how long it may wait. Sizes are in bytes. */
export interface Limits {
  /** Longest message received. Beyond it: a violation with 1009, when the platform has it whole. Default 1 MiB. */
  readonly maxMessageBytes?: number | undefined
  /**
   * Bytes of received messages that wait to be pulled, two for each character of text, with at most one message more.
   * Above it a `BrowserWebSocket` closes, with `InboxFull`; by default above 16 MiB. A `BrowserWebSocketStream` makes the
   * peer wait; by default above 64 KiB.
   */
  readonly inboxBytes?: number | undefined
  /** Bytes that wait for the network. Above it `send` suspends. Default 1 MiB. */
  readonly outboxBytes?: number | undefined
  /** How long the closing handshake may take before it is left to the platform. Default 5 s. */
  readonly closeTimeout?: Duration.Input | undefined
}

/** How to open a connection. Nothing of it is required. */
export interface Options {
  /** The one it likes best first. A browser refuses a server that chooses none of those that it was offered. */
  readonly subprotocols?: ReadonlyArray<string> | undefined
  /**
   * Shown to the server as one more subprotocol, as a page can set no headers: see `BearerSubprotocol` of core, by which
   * a server reads it. The server has to choose another one, so `subprotocols` must not be empty.
   */
  readonly token?: string | undefined
  /** How long everything may take until the connection is open. Default 10 s. */
  readonly handshakeTimeout?: Duration.Input | undefined
  readonly limits?: Limits | undefined
}

type Reason = OpenError["reason"]

const failed = (reason: Reason) => Effect.fail(new OpenError({ reason }))

/** Both names of each scheme. */
const schemes: ReadonlyMap<string, string> = new Map([
  ["http:", "ws:"],
  ["ws:", "ws:"],
  ["https:", "wss:"],
  ["wss:", "wss:"]
])

/** What to ask the platform for: addresses are against that of the page, or of the worker's script. */
const asked = (
  input: string | URL,
  { subprotocols = [], token }: Options
): Result.Result<{ readonly url: string; readonly subprotocols: ReadonlyArray<string> }, Reason> => {
  const invalid = (detail: string) => Result.fail(new InvalidUrl({ url: `${input}`, detail }))
  const base = PageUrl.base()
  if (!URL.canParse(`${input}`, base)) return invalid("it is no URL")
  const url = new URL(input, base)
  const scheme = schemes.get(url.protocol)
  if (scheme === undefined) return invalid("its scheme is neither ws: nor wss:")
  if (url.hash !== "" || url.href.endsWith("#")) return invalid("it has a fragment; a # is written %23")
  if (url.username !== "" || url.password !== "") return invalid("it has a user; use a token")
  url.protocol = scheme
  if (token === undefined) return Result.succeed({ url: url.href, subprotocols })
  if (subprotocols.length > 0) {
    return Result.succeed({ url: url.href, subprotocols: [...subprotocols, BearerSubprotocol.encode(token)] })
  }
  return Result.fail(new InvalidOptions({ cause: new TypeError("a token needs a subprotocol that can be agreed on") }))
}

const timeoutOf = ({ handshakeTimeout = "10 seconds" }: Options): number => Duration.toMillis(handshakeTimeout)

const limitsOf = ({ limits = {} }: Options, inboxBytes: number): LinkLimits => ({
  maxMessageBytes: limits.maxMessageBytes ?? 1_048_576,
  inboxBytes: limits.inboxBytes ?? inboxBytes,
  outboxBytes: limits.outboxBytes ?? 1_048_576,
  closeTimeout: Duration.toMillis(limits.closeTimeout ?? "5 seconds")
})

/** One that is being opened. */
class Opening {
  private connection: LinkConnection<Opened> | undefined

  /** Waits for the platform, which tells no more than that it is open or that it will not be. */
  start(
    platform: Platform,
    url: string,
    subprotocols: ReadonlyArray<string>,
    timeout: number,
    limits: LinkLimits
  ): Effect.Effect<LinkConnection<Opened>, OpenError> {
    return Effect.flatMap(Effect.context<never>(), (context) =>
      Effect.callback((resume) => {
        const late = Effect.sync(() => resume(failed(new HandshakeTimeout({ timeout }))))
        // Not `Effect.timeout`, which would be a kilobyte more for each page to load.
        const timer = Effect.runForkWith(context)(Effect.andThen(Effect.sleep(timeout), late))
        const onSettled = () => {
          timer.interruptUnsafe()
          const connection = this.connection!
          resume(connection.link.isOpen ? Effect.succeed(connection) : failed(new Undisclosed({ url })))
        }
        try {
          this.connection = new LinkConnection<Opened>({
            link: (owner) => platform(url, subprotocols, owner),
            handshake: { url },
            limits,
            context,
            codeFor: PageClose.codeFor,
            onSettled
          })
        } catch (cause) {
          timer.interruptUnsafe()
          resume(failed(new InvalidOptions({ cause })))
        }
        return Effect.sync(() => timer.interruptUnsafe())
      })
    )
  }

  /** Leaves nothing behind, not even one that has opened since. */
  abort(): void {
    this.connection?.link.abandon()
  }
}

/** `inboxBytes` is that of a connection whose limits do not say. */
export const openOn = (
  platform: Platform,
  inboxBytes: number,
  input: string | URL,
  options: Options
): Effect.Effect<WebSocket<Opened>, OpenError, Scope.Scope> =>
  // By few of Effect's functions, as each is more for a page to load.
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const what = asked(input, options)
      if (Result.isFailure(what)) return failed(what.failure)
      const { subprotocols, url } = what.success
      const opening = new Opening()
      const start = opening.start(platform, url, subprotocols, timeoutOf(options), limitsOf(options, inboxBytes))
      return Effect.flatMap(Effect.exit(restore(start)), (exit) => {
        if (Exit.isFailure(exit)) {
          opening.abort()
          return exit
        }
        const connection = exit.value
        return Effect.as(
          Effect.addFinalizer((exit) => connection.shutdown(exit)),
          connection
        )
      })
    })
  )
