/**
 * Engine.IO over HTTP/1.1 and HTTP/2: polls and posts of sessions that an `EngineServer` has, and how they are answered.
 */
import type { ServerResponse } from "node:http"
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import type * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as Origin from "@millrace/core/codec/Origin"
import * as EngineRequest from "@millrace/core/interop/engineio/EngineRequest"
import type { EngineServer, MakeOwner } from "@millrace/core/interop/engineio/EngineServer"
import type { EngineSession, RequestRefused } from "@millrace/core/interop/engineio/EngineSession"
import * as Packet from "@millrace/core/interop/engineio/Packet"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { AnyRequest, AnyResponse } from "../session/Asking.ts"
import * as RequestBody from "../session/RequestBody.ts"
import type { Answer, Relay } from "./EngineRelay.ts"

export interface Options {
  readonly engine: EngineServer
  readonly origin: Origin.Policy
  /** Who may have a session; says to whom it belongs. */
  readonly admit: (request: AnyRequest) => Effect.Effect<MakeOwner, EngineRequest.EngineRefusal | Refusal>
  readonly run: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>
  /** Where there are other nodes: what is for a session of theirs goes there. */
  readonly relay: Relay | undefined
}

type Fields = HttpHeaders.Headers

/** How long the body of a post may take to come. */
const postTimeout = "30 seconds"

const text: Fields = [["Content-Type", "text/plain; charset=UTF-8"]]
const html: Fields = [["Content-Type", "text/html"]]
const json: Fields = [["Content-Type", "application/json"]]

const queryOf = ({ url = "" }: AnyRequest) => new URLSearchParams(url.split("?").slice(1).join("?"))

const respond = (response: AnyResponse, status: number, fields: Fields, body: string | Uint8Array = ""): void => {
  if (response.writableEnded || response.destroyed) return
  const headers: Record<string, string> = { "Cache-Control": "no-store" }
  for (const [name, value] of fields) headers[name] = value
  headers["Content-Length"] = String(Buffer.byteLength(body))
  ;(response as ServerResponse).writeHead(status, headers).end(body)
}

const ignore = () => {}

export class EngineFront {
  private readonly options: Options

  constructor(options: Options) {
    this.options = options
  }

  /** Answers a request, whatever it is. */
  respond(request: AnyRequest, response: AnyResponse): void {
    request.on("error", ignore)
    response.on("error", ignore)
    const cors = this.crossOrigin(request)
    if (cors === undefined) {
      return this.refuse(response, new EngineRequest.EngineRefusal({ code: 4 }), [["Vary", "Origin"]])
    }
    const { method = "GET" } = request
    if (method === "OPTIONS") return respond(response, 204, [...cors, ...preflight])
    const asked = EngineRequest.parse(method, queryOf(request), false)
    if (Result.isFailure(asked)) return this.refuse(response, asked.failure, cors)
    const { sid } = asked.success
    if (sid === undefined) return this.open(request, response, cors)
    const session = this.options.engine.find(sid)
    const node = session === undefined ? this.options.relay?.nodeOf(sid) : undefined
    if (session === undefined && node === undefined) {
      return this.refuse(response, new EngineRequest.EngineRefusal({ code: 1 }), cors)
    }
    switch (method) {
      case "GET":
        return session === undefined
          ? this.pollElsewhere(node!, sid, response, cors)
          : this.poll(session, response, cors)
      case "POST":
        return session === undefined
          ? this.post((body) => this.postElsewhere(node!, sid, body, response, cors), request, response, cors)
          : this.post((body) => this.postHere(session, body, response, cors), request, response, cors)
      default:
        return respond(response, 405, [...cors, ["Allow", "GET, POST, OPTIONS"]])
    }
  }

  private refuse(response: AnyResponse, refusal: EngineRequest.EngineRefusal, fields: Fields): void {
    respond(response, refusal.status, [...fields, ...json], refusal.json)
  }

  /** The fields that let a page of another origin read the response; `undefined` when it may not. */
  private crossOrigin(request: AnyRequest): Fields | undefined {
    const { origin: policy } = this.options
    const { ":authority": authority, host = authority ?? "", origin } = request.headers
    if (!Origin.permits(policy, origin, { host: String(host) })) return undefined
    if (origin === undefined) return [["Vary", "Origin"]]
    return [
      ["Vary", "Origin"],
      ["Access-Control-Allow-Origin", origin],
      ...(policy._tag === "Any" ? [] : [["Access-Control-Allow-Credentials", "true"] as const])
    ]
  }

  private open(request: AnyRequest, response: AnyResponse, cors: Fields): void {
    const { admit, engine, run } = this.options
    const opened = Effect.suspend(() => {
      if (engine.isFull) return Effect.sync(() => respond(response, 503, [...cors, ["Retry-After", "5"]]))
      return Effect.map(admit(request), (makeOwner) => {
        const session = engine.openUnsafe(makeOwner)
        this.answer(response, cors, session.opened)
      })
    })
    run(
      Effect.catchCause(opened, (cause) =>
        Effect.sync(() => {
          const error = cause.reasons.find((reason) => reason._tag === "Fail")?.error
          if (error?._tag === "EngineRefusal") return this.refuse(response, error, cors)
          if (error?._tag === "Refusal") return respond(response, error.status, [...error.headers, ...cors], error.body)
          respond(response, 500, cors)
        })
      )
    )
  }

  private poll(session: EngineSession, response: AnyResponse, cors: Fields): void {
    const fiber = this.options.run(
      Effect.map(Effect.exit(session.poll), (exit) => {
        if (Exit.isSuccess(exit)) this.answer(response, cors, exit.value)
        else this.refuse(response, new EngineRequest.EngineRefusal({ code: 3 }), cors)
      })
    )
    response.once("close", () => fiber.interruptUnsafe())
  }

  private answer(response: AnyResponse, cors: Fields, packets: ReadonlyArray<Packet.Packet>): void {
    const body = Packet.encodePayload(packets)
    respond(response, 200, [...cors, ...text], Result.isSuccess(body) ? body.success : "")
  }

  private pollElsewhere(node: string, sid: string, response: AnyResponse, cors: Fields): void {
    const fiber = this.options.run(
      Effect.map(this.options.relay!.poll(node, sid), (answer) => this.pass(response, cors, answer, text))
    )
    response.once("close", () => fiber.interruptUnsafe())
  }

  /** What another node has answered. */
  private pass(response: AnyResponse, cors: Fields, { body, status }: Answer, fields: Fields): void {
    respond(response, status, [...cors, ...(status === 200 ? fields : json)], body)
  }

  private postHere(session: EngineSession, body: Body, response: AnyResponse, cors: Fields): Posted {
    return Effect.map(session.post(body), () => respond(response, 200, [...cors, ...html], "ok"))
  }

  private postElsewhere(node: string, sid: string, body: Body, response: AnyResponse, cors: Fields): Posted {
    return Effect.flatMap(body, (bytes) =>
      Effect.map(this.options.relay!.post(node, sid, bytes), (answer) => this.pass(response, cors, answer, html))
    )
  }

  private post(take: (body: Body) => Posted, request: AnyRequest, response: AnyResponse, cors: Fields): void {
    const { engine, run } = this.options
    const bad = new EngineRequest.EngineRefusal({ code: 3 })
    if (request.headers["content-type"] === "application/octet-stream") return this.refuse(response, bad, cors)
    run(
      Effect.catch(take(RequestBody.read(request, engine.maxPayload, postTimeout)), (error) =>
        Effect.sync(() => {
          switch (error._tag) {
            case "RequestRefused":
              return this.refuse(response, bad, cors)
            case "InvalidExchange":
              // What is still to come of the body is not read.
              return respond(response, error.status, [...cors, ["Connection", "close"]])
            case "BodyLate":
              return respond(response, 408, [...cors, ["Connection", "close"]])
            case "BodyCut":
              return undefined
          }
        })
      )
    )
  }
}

type Body = ReturnType<typeof RequestBody.read>
type Posted = Effect.Effect<void, Effect.Error<Body> | RequestRefused>

const preflight: Fields = [
  ["Access-Control-Allow-Methods", "GET, POST, OPTIONS"],
  ["Access-Control-Allow-Headers", "Authorization, Content-Type"],
  ["Access-Control-Max-Age", "86400"]
]
