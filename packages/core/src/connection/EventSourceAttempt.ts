/**
 * One attempt of an event source to be answered: a request, the redirects that it meets, and what the response in the
 * end turns out to be.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as HttpHeaders from "../codec/HttpHeaders.ts"
import * as Protocol from "../protocol/EventSourceProtocol.ts"
import type { InvalidRequest, NetworkError } from "./EventSourceError.ts"
import type { Fetch, Request, Response } from "./Fetch.ts"
import * as Redirect from "./Redirect.ts"
import { Refused } from "./Refused.ts"

/** What became of it, and of the protocol. */
export type Answer =
  | { readonly _tag: "Opened"; readonly state: Protocol.Open; readonly response: Response }
  /** The server has no more to say: 204. */
  | { readonly _tag: "NoContent" }
  /** The server is to be asked again. */
  | { readonly _tag: "Later"; readonly transition: Protocol.Transition; readonly error: Refused }
  | { readonly _tag: "Refused"; readonly error: Refused }

/** The most of the body of a refusal that is kept, in bytes. */
export const maxBody = 65_536

/** A refusal, whose body may still be coming. */
class Refusing {
  private readonly response: Response
  private readonly detail: string | undefined
  private readonly chunks: Array<Uint8Array> = []
  private length = 0

  constructor(response: Response, detail: string | undefined) {
    this.response = response
    this.detail = detail
  }

  /** Says whether there was room for all of it. */
  take(chunk: Uint8Array): boolean {
    const taken = chunk.subarray(0, maxBody - this.length)
    this.chunks.push(taken)
    this.length += taken.length
    return taken.length === chunk.length
  }

  end(truncated: boolean): Refused {
    const { headers, status, url } = this.response
    const body = new Uint8Array(this.length)
    let at = 0
    for (const chunk of this.chunks) {
      body.set(chunk, at)
      at += chunk.length
    }
    return new Refused({ status, headers, url, body, truncated, detail: this.detail })
  }
}

export class Attempt {
  private readonly fetch: Fetch
  private readonly config: Protocol.Config
  private readonly scope: Scope.Scope
  private state: Protocol.State
  /** The answer when time is up: a refusal counts, though its body has not come to an end. */
  late: Effect.Effect<Answer> | undefined

  /** The response, if there is to be one, lasts as long as `scope`. */
  constructor(fetch: Fetch, config: Protocol.Config, scope: Scope.Scope, state: Protocol.Connecting) {
    this.fetch = fetch
    this.config = config
    this.scope = scope
    this.state = state
  }

  /** Asks there, and where the answer sends us. */
  ask(request: Request): Effect.Effect<Answer, InvalidRequest | NetworkError> {
    return Effect.gen({ self: this }, function* () {
      const scope = Scope.forkUnsafe(this.scope)
      const response = yield* Scope.provide(this.fetch(request), scope)
      const flaw = flawOf(response)
      if (flaw !== undefined) return yield* this.refuse(response, flaw, refused)
      const now = yield* Clock.currentTimeMillis
      const transition = Protocol.respond(this.config, this.state, response, now)
      const [state, actions] = transition
      this.state = state
      switch (state._tag) {
        case "Open":
          return { _tag: "Opened", state, response }
        case "Waiting":
          return yield* this.refuse(response, undefined, (error) => ({ _tag: "Later", transition, error }))
        case "Closed":
          if (state.reason._tag === "NoContent") return { _tag: "NoContent" }
          return yield* this.refuse(response, detailOf(state.reason, response), refused)
        case "Connecting": {
          const { location, status } = actions.find((action) => action._tag === "Redirect")!
          const next = Redirect.follow(request, status, location)
          if (Result.isFailure(next)) return yield* this.refuse(response, next.failure, refused)
          yield* Scope.close(scope, Exit.void)
          return yield* this.ask(next.success)
        }
      }
    })
  }

  /** Reads the body of a response that is no event stream, as far as there is room for it. */
  private refuse(
    response: Response,
    detail: string | undefined,
    ended: (error: Refused) => Answer
  ): Effect.Effect<Answer> {
    const refusing = new Refusing(response, detail)
    this.late = Effect.sync(() => ended(refusing.end(true)))
    let whole = true
    const reading = Stream.runForEachWhile(response.body, (chunk) =>
      Effect.sync(() => {
        whole = refusing.take(chunk)
        return whole
      })
    )
    return Effect.map(Effect.exit(reading), (exit) => ended(refusing.end(Exit.isFailure(exit) || !whole)))
  }
}

const refused = (error: Refused): Answer => ({ _tag: "Refused", error })

/** What keeps us from reading a response that is otherwise in order. */
const flawOf = ({ coding = "", detail, status }: Response): string | undefined => {
  if (detail !== undefined) return detail
  const isCoded = coding !== "" && !HttpHeaders.equalsIgnoringCase(coding, "identity")
  return status === 200 && isCoded ? "it is compressed" : undefined
}

const detailOf = (reason: Protocol.Reason, { headers }: Response): string | undefined => {
  if (reason._tag !== "UnexpectedResponse" || reason.reason === "status") return undefined
  if (reason.reason === "redirects") return "too many redirects"
  const type = HttpHeaders.combined(headers, "Content-Type")
  return type === undefined ? "it has no type" : `its type is ${type}`
}
