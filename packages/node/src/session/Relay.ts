/**
 * What belongs to a connection of another node: a POST goes by the broker to the node that holds the event stream, and
 * its answer comes back. So it does not matter which node a balancer hands a request to.
 *
 * A connection's secret names its node, behind what is random in it. A body is cut into pieces that the broker takes,
 * which are put together again where it is taken, under the same limit. The pieces of one POST at a time are kept for
 * each connection that there is, and no longer than it is there.
 */
import type * as Cluster from "@millrace/core/cluster/Cluster"
import type { Json } from "@millrace/core/cluster/Questions"
import type * as CloseCode from "@millrace/core/codec/CloseCode"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A POST, whichever node it came to. */
export interface Posted {
  /** The content type. */
  readonly type: string
  /** The number that it says it has. */
  readonly number: string | undefined
  readonly bytes: Uint8Array
}

/** How a request is answered. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly detail: string
}

/** Who takes what other nodes were sent. */
export interface Taker {
  /** The connection that a secret is of, and the longest body that it takes now, in bytes. */
  readonly find: (secret: string) => { readonly connection: object; readonly limit: number } | undefined
  readonly takeRelayed: (secret: string, posted: Posted) => Effect.Effect<Answer>
  readonly closeRelayed: (secret: string, status: CloseCode.CloseStatus) => Answer
}

/** Characters of a secret that are random: 16 bytes in base64url. */
const secretLength = 22

/** Bytes of a piece: in base64 and with what is beside it that is less than any broker takes. */
const pieceBytes = 131_072

/** Longer than it may wait for room there. */
const timeout = "30 seconds"

/** A POST that is coming in pieces. */
interface Assembled {
  readonly id: string
  readonly pieces: Array<Buffer>
  length: number
}

export interface Relay {
  /** The secret as the client is told it. */
  readonly named: (secret: string) => string
  /** The node that holds the connection; `undefined` when that is this one, or none that is there. */
  readonly nodeOf: (secret: string) => string | undefined
  readonly post: (node: string, secret: string, posted: Posted) => Effect.Effect<Answer>
  readonly close: (node: string, secret: string, status: CloseCode.CloseStatus) => Effect.Effect<Answer>
}

/** Relays what comes for the connections of one path, as long as the scope is open. `taker` is asked when it is needed. */
export const make = (
  { nodes, questions }: Pick<Cluster.Cluster["Service"], "nodes" | "questions">,
  path: string,
  taker: () => Taker
): Effect.Effect<Relay, never, Scope.Scope> =>
  Effect.gen(function* () {
    const self = nodes.self().id
    const name = `sessions ${path}`
    const assembling = new WeakMap<object, Assembled>()
    let count = 0

    const take = (payload: Readonly<Record<string, Json | undefined>>): Effect.Effect<Json, Json> => {
      const { close, id, number, of, piece, reason, secret, type, index } = payload
      if (typeof secret !== "string") return Effect.fail("no secret")
      if (typeof close === "number") {
        return Effect.sync(() => jsonOf(taker().closeRelayed(secret, { code: close, reason: String(reason ?? "") })))
      }
      if (typeof piece !== "string" || typeof id !== "string" || typeof of !== "number" || typeof index !== "number") {
        return Effect.fail("no piece")
      }
      const found = taker().find(secret)
      if (found === undefined) return Effect.succeed(jsonOf(unknown))
      const { connection, limit } = found
      const bytes = Buffer.from(piece, "base64")
      let whole = assembling.get(connection)
      if (index === 0) whole = { id, pieces: [], length: 0 }
      assembling.delete(connection)
      if (whole?.id !== id || whole.pieces.length !== index) return Effect.fail("pieces are missing")
      whole.pieces.push(bytes)
      whole.length += bytes.length
      // What is too long already is told so, by who takes it.
      if (index + 1 < of && whole.length <= limit) {
        assembling.set(connection, whole)
        return Effect.succeed([100, [], ""])
      }
      const posted: Posted = {
        type: String(type ?? ""),
        number: typeof number === "string" ? number : undefined,
        bytes: whole.pieces.length === 1 ? whole.pieces[0]! : Buffer.concat(whole.pieces)
      }
      return Effect.map(taker().takeRelayed(secret, posted), jsonOf)
    }
    yield* questions.answer(name, (payload) =>
      typeof payload === "object" && payload !== null && !Array.isArray(payload)
        ? take(payload as Readonly<Record<string, Json>>)
        : Effect.fail("no request")
    )

    const ask = (node: string, payload: Json): Effect.Effect<Answer> =>
      Effect.match(questions.askNode(node, name, payload, { timeout }), {
        onFailure: () => unreachable,
        onSuccess: answerOf
      })

    return {
      named: (secret) => `${secret}${self}`,
      nodeOf: (secret) => {
        const node = secret.slice(secretLength)
        return node === self || nodes.get(node) === undefined ? undefined : node
      },
      post: (node, secret, { bytes, number, type }) =>
        Effect.gen(function* () {
          const id = `${self}:${count++}`
          const of = Math.max(1, Math.ceil(bytes.length / pieceBytes))
          let answer: Answer = unreachable
          for (let index = 0; index < of; index++) {
            const piece = Buffer.from(bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes)).toString("base64")
            answer = yield* ask(node, {
              secret,
              id,
              index,
              of,
              piece,
              type,
              ...(number === undefined ? {} : { number })
            })
            if (answer.status !== 100) return answer
          }
          return answer
        }),
      close: (node, secret, { code, reason }) => ask(node, { secret, close: code, reason })
    }
  })

/** There is none, or not any more. */
export const unknown: Answer = { status: 404, headers: [], detail: "no such connection" }

/** The node may have taken it. If it has, the number tells when it is sent again. */
const unreachable: Answer = {
  status: 503,
  headers: [["Retry-After", "1"]],
  detail: "the node of this connection has not answered"
}

const jsonOf = ({ detail, headers, status }: Answer): Json => [status, headers, detail]

/** What another node has answered: its word is taken, as far as it is one. */
const answerOf = (json: Json): Answer => {
  const [status, headers, detail] = Array.isArray(json) ? json : []
  if (typeof status !== "number" || !Number.isInteger(status) || status < 100 || status > 599) return unreachable
  const fields = (Array.isArray(headers) ? headers : []).filter(
    (field): field is readonly [string, string] =>
      Array.isArray(field) && field[0] === "Retry-After" && /^\d+$/.test(String(field[1]))
  )
  return { status, headers: fields, detail: typeof detail === "string" ? detail : "" }
}
