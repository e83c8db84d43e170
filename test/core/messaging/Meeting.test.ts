/** How two ends meet, and how they do not. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Contract from "@millrace/core/messaging/Contract"
import * as Identifier from "@millrace/core/messaging/Identifier"
import type { Refusal } from "@millrace/core/messaging/Meeting"
import * as Session from "@millrace/core/messaging/Session"
import { SessionError } from "@millrace/core/messaging/SessionError"
import type { Wire } from "@millrace/core/messaging/Wire"
import { start } from "../../support/connection.ts"
import { Chat, reasonOf } from "../../support/session.ts"

const Guarded = Contract.make("guarded", {
  version: "2",
  credentials: Schema.Struct({ token: Schema.String }),
  events: { said: Schema.String }
})

const none = { authenticate: (): Effect.Effect<void, Refusal> => Effect.void }

const tokenOf = ({ token }: { readonly token: string }) => Effect.succeed(token)

/** A server that is told what the test writes, and how it is closed for it. */
const told = (said: string | Uint8Array, limits?: Session.Options["limits"], seen: Array<unknown> = []) =>
  Effect.gen(function* () {
    const { client, server } = yield* WebSocket.makePair()
    const options = { authenticate: (credentials: unknown) => Effect.sync(() => void seen.push(credentials)), limits }
    const accepting = yield* start(reasonOf(Session.accept(Guarded, server, options)))
    yield* client.send(said)
    const { received } = yield* client.closed
    return { reason: yield* Fiber.join(accepting), code: received?.code, words: received?.reason ?? "" }
  })

const helloOf = (hello: unknown) => JSON.stringify(["hello", hello])
const good = { contract: "guarded", version: "2", credentials: { token: "t" } }

describe("a server", () => {
  it.effect.each([
    ["garbage", "\u0000{", 4400, "SessionViolation", /malformed/],
    ["bytes that are no packet", new Uint8Array([1, 2]), 4400, "SessionViolation", /malformed/],
    ["a packet that is no hello", '["ask",1,"ping"]', 4400, "SessionViolation", /no hello/],
    [
      "a welcome",
      '["welcome",{"contract":"guarded","version":"2","session":"s"}]',
      4400,
      "SessionViolation",
      /no hello/
    ],
    ["a hello without a contract", helloOf({ version: "2" }), 4400, "SessionViolation", /hello without/],
    ["a hello of an array", '["hello",["guarded","2"]]', 4400, "SessionViolation", /hello without/],
    ["a hello with __proto__", '["hello",{"__proto__":{"contract":"guarded"}}]', 4400, "SessionViolation", /__proto__/],
    ["another contract", helloOf({ ...good, contract: "chat" }), 4500, "Mismatch", /^guarded 2$/],
    ["another version", helloOf({ ...good, version: "1" }), 4500, "Mismatch", /^guarded 2$/],
    ["a name as long as may be", helloOf({ ...good, contract: "x".repeat(9_000) }), 4500, "Mismatch", /^guarded 2$/],
    ["no credentials", helloOf({ ...good, credentials: undefined }), 4501, "Rejected", /not what the contract says/],
    ["credentials that do not decode", helloOf({ ...good, credentials: 7 }), 4501, "Rejected", /not what the contract/],
    [
      "a hello that is too long",
      helloOf({ ...good, credentials: { token: "x".repeat(17_000) } }),
      4400,
      "SessionViolation",
      /16384 bytes/
    ]
  ] as const)("turns %s away", ([, said, code, reason, words]) =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const turned = yield* told(said, undefined, seen)
      assert.deepStrictEqual({ code: turned.code, reason: turned.reason }, { code, reason })
      assert.match(turned.words, words)
      assert.deepStrictEqual(seen, [])
    })
  )

  it.effect("has a first message as long as may be, and not a byte more", () =>
    Effect.gen(function* () {
      const hello = helloOf(good)
      const padded = hello + " ".repeat(1_000 - hello.length)
      const { client, server } = yield* WebSocket.makePair()
      const options = { authenticate: none.authenticate, limits: { maxHelloBytes: 1_000 } }
      const accepting = yield* start(Session.accept(Guarded, server, options))
      yield* client.send(padded)
      assert.strictEqual((yield* Fiber.join(accepting)).peer.contract, "guarded")
      assert.strictEqual((yield* told(`${padded} `, { maxHelloBytes: 1_000 })).code, 4400)
    })
  )

  it.effect("reads no more of a first message than it may have, however long that is", () =>
    Effect.gen(function* () {
      const { server } = yield* WebSocket.makePair()
      let read = 0
      const bytes = Stream.forever(
        Stream.sync(() => {
          read += 1_000
          return new Uint8Array(1_000)
        })
      )
      const wire: Wire = {
        pull: server.pull,
        receive: server.receive,
        send: server.send,
        close: () => Effect.void,
        closed: server.closed,
        subprotocol: undefined,
        receiveStream: Effect.succeed({ kind: "text", bytes } as never)
      }
      assert.strictEqual(yield* reasonOf(Session.accept(Guarded, wire, none)), "SessionViolation")
      assert.isAtMost(read, 17_000)
    })
  )

  it.effect("hears a first message that comes in many pieces", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      const accepting = yield* start(Session.accept(Guarded, server, { authenticate: tokenOf }))
      const hello = helloOf({ ...good, credentials: { token: "é☃".repeat(500) } })
      yield* client.sendStream("text", Stream.fromIterable(hello), { fragmentBytes: 3 })
      assert.strictEqual((yield* Fiber.join(accepting)).known, "é☃".repeat(500))
    })
  )

  it.effect("waits as long again for who finds out who it is, and interrupts that", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      let interrupted = 0
      const authenticate = () =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            interrupted++
          })
        )
      const accepting = yield* start(reasonOf(Session.accept(Guarded, server, { authenticate })))
      yield* client.send(helloOf(good))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(interrupted, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* client.closed).received?.code, 4408)
      assert.strictEqual(yield* Fiber.join(accepting), "RequestTimeout")
      assert.strictEqual(interrupted, 1)
    })
  )

  it.effect("waits for a first message so long, and for its end", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      const accepting = yield* start(reasonOf(Session.accept(Guarded, server, none)))
      yield* start(Effect.exit(client.sendStream("text", Stream.concat(Stream.make("["), Stream.never))))
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(accepting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const { received } = yield* client.closed
      assert.deepStrictEqual(received, { code: 4408, reason: "the peer broke the rules: no hello for 10000 ms" })
      assert.strictEqual(yield* Fiber.join(accepting), "SessionViolation")
    })
  )

  it.effect("that is interrupted while it waits reads nothing more", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      yield* Effect.flatMap(start(Session.accept(Guarded, server, none)), Fiber.interrupt)
      yield* client.send(helloOf(good))
      const { known } = yield* Session.accept(Guarded, server, { authenticate: () => Effect.succeed("later") })
      assert.strictEqual(known, "later")
    })
  )

  it.effect("fails when the client leaves without a word", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      yield* start(client.close())
      assert.strictEqual(yield* reasonOf(Session.accept(Guarded, server, none)), "Disconnected")
    })
  )
})

/** A client and a server with options of the test, and what becomes of both. */
const meeting = (options: Session.AcceptOptions<typeof Guarded, unknown, never>, token = "t") =>
  Effect.gen(function* () {
    const { client, server } = yield* WebSocket.makePair()
    const accepting = yield* start(Effect.exit(Session.accept(Guarded, server, options)))
    const connecting = yield* Effect.exit(Session.connect(Guarded, client, { credentials: { token } }))
    return { connecting, accepting: yield* Fiber.join(accepting) }
  })

const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.flip(effect), (error) => {
    assert.instanceOf(error, SessionError)
    return Effect.succeed((error as SessionError).reason)
  })

describe("a client", () => {
  it.effect("has the name of the session, and what the server said of its contract; the server who it is", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      const named = Effect.provideService(
        Session.accept(Guarded, server, { authenticate: tokenOf }),
        Identifier.Source,
        () => "s1"
      )
      const accepting = yield* start(named)
      const session = yield* Session.connect(Guarded, client, { credentials: { token: "ada" } })
      const other = yield* Fiber.join(accepting)
      assert.deepStrictEqual([session.id, other.id], ["s1", "s1"])
      assert.deepStrictEqual(other.known, "ada")
      assert.isUndefined(session.known)
      const peer = { contract: "guarded", version: "2", hash: Guarded.hash, same: true }
      assert.deepStrictEqual([session.peer, other.peer], [peer, peer])
    })
  )

  it.effect("that is refused is told with what words, whatever their length", () =>
    Effect.gen(function* () {
      const refused = yield* meeting({ authenticate: () => Session.refuse("é".repeat(100)) })
      const reason = yield* errorOf(refused.connecting)
      assert.strictEqual(reason._tag, "Rejected")
      // As many whole characters as go into a Close frame.
      assert.strictEqual(reason._tag === "Rejected" ? reason.detail : "", "é".repeat(61))
      assert.strictEqual((yield* errorOf(refused.accepting))._tag, "Rejected")
    })
  )

  it.effect("of another contract is told which one the server has", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      yield* start(Effect.exit(Session.accept(Guarded, server, none)))
      const reason = yield* errorOf(Session.connect(Chat, client))
      assert.deepInclude(reason, { _tag: "Mismatch", ours: "chat 1", theirs: "guarded 2" })
    })
  )

  it.effect("notices a server of another contract that says welcome all the same", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      yield* server.send('["welcome",{"contract":"chat","version":"9","session":"s"}]')
      const reason = yield* errorOf(Session.connect(Chat, client))
      assert.deepInclude(reason, { _tag: "Mismatch", ours: "chat 1", theirs: "chat 9" })
      assert.strictEqual((yield* server.closed).received?.code, 4500)
    })
  )

  it.effect("waits for its welcome so long", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      const connecting = yield* start(errorOf(Session.connect(Chat, client)))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(connecting))._tag, "SessionViolation")
      assert.strictEqual((yield* server.closed).received?.code, 4408)
    })
  )

  it.effect("says nothing with credentials that the contract does not encode", () =>
    Effect.gen(function* () {
      const { client } = yield* WebSocket.makePair()
      const reason = yield* errorOf(Session.connect(Guarded, client, { credentials: { token: 7 as never } }))
      assert.strictEqual(reason._tag, "Unencodable")
      const Open = Contract.make("open", { credentials: Schema.Unknown })
      const other = yield* errorOf(Session.connect(Open, client, { credentials: { n: 1n } }))
      assert.strictEqual(other._tag, "Unencodable")
    })
  )

  it.effect("of a contract that looks different under the same version knows of it", () =>
    Effect.gen(function* () {
      const [one, two] = [Schema.String, Schema.Number].map((schema) => Contract.make("x", { events: { e: schema } }))
      const { client, server } = yield* WebSocket.makePair()
      const accepting = yield* start(Session.accept(two!, server))
      const session = yield* Session.connect(one!, client)
      assert.isFalse(session.peer.same)
      assert.isFalse((yield* Fiber.join(accepting)).peer.same)
    })
  )
})
