/** What a peer says that it may not, and what becomes of it: it is counted and refused, and nothing else. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Session from "@millrace/core/messaging/Session"
import type { Wire } from "@millrace/core/messaging/Wire"
import { start } from "../../support/connection.ts"
import { logged } from "../../support/logged.ts"
import { Chat, type Client, clientOf, type Peer, reasonOf, serverOf, silent, turn } from "../../support/session.ts"

const none = { malformed: 0, unknown: 0, undecodable: 0, late: 0, foreign: 0, unheard: 0 }

type Counters = Partial<typeof none>

/** What the peer says, what is counted, and what the server answers. */
const harmless: ReadonlyArray<readonly [what: string, said: unknown, counters: Counters, heard?: unknown]> = [
  ["text that is not JSON", "{", { malformed: 1 }],
  ["JSON that is no packet", "{}", { malformed: 1 }],
  ["a packet of an unknown kind", ["shout", "say"], { malformed: 1 }],
  ["an object with a property named __proto__", '["emit","open",{"__proto__":{"x":1}}]', { malformed: 1 }],
  ["an object with a property named constructor", '["emit","open",{"constructor":1}]', { malformed: 1 }],
  ["nested deeper than 64", `["emit","open",${"[".repeat(64)}${"]".repeat(64)}]`, { malformed: 1 }],
  ["nested so deep that a stack overflows", "[".repeat(300_000), { malformed: 1 }],
  ["a message of an unknown name", ["emit", "shout", 1], { unknown: 1 }],
  ["a message named __proto__", ["emit", "__proto__", 1], { unknown: 1 }],
  ["a message named constructor", ["emit", "constructor", 1], { unknown: 1 }],
  ["a message named toString", ["emit", "toString", 1], { unknown: 1 }],
  ["a message of a name that only the other end says", ["emit", "said", "x"], { unknown: 1 }],
  ["a message that is a request", ["emit", "rename", "x"], { unknown: 1 }],
  ["a message that does not decode", ["emit", "say", 1], { undecodable: 1 }],
  [
    "a request of an unknown name",
    ["ask", 1, "shout", 1],
    { unknown: 1 },
    ["fail", 1, "unknown", 'nothing to ask is called "shout"']
  ],
  [
    "a request named __proto__",
    ["ask", 1, "__proto__", 1],
    { unknown: 1 },
    ["fail", 1, "unknown", 'nothing to ask is called "__proto__"']
  ],
  [
    "a request that is a stream",
    ["ask", 7, "count", 1],
    { unknown: 1 },
    ["fail", 7, "unknown", 'nothing to ask is called "count"']
  ],
  [
    "a stream that is a request",
    ["open", 7, "rename", "x", 1],
    { unknown: 1 },
    ["fail", 7, "unknown", 'nothing to ask is called "rename"']
  ],
  ["a key that is too long", ["ask", 1, "pay", 1, { key: "k".repeat(257) }], { malformed: 1 }],
  ["a stream without credit", ["open", 1, "count", 1, 0], { malformed: 1 }],
  ["an answer that was never asked for", ["ok", 1, null], { foreign: 1 }],
  ["elements that were never asked for", ["items", 1, [1]], { foreign: 1 }],
  ["a cancel of what was never asked", ["cancel", 9], {}],
  ["credit for what was never asked", ["more", 9, 1], {}]
]

const tell = (options?: Session.Options) => (said: unknown) =>
  Effect.gen(function* () {
    const { peer, session, wire } = yield* serverOf(options)
    yield* peer.say(said)
    yield* turn
    return { peer, session, wire }
  })

const mistaken = () => {
  throw new Error("mistaken")
}

describe("a peer that says what it may not", () => {
  it.effect.each(harmless)("%s is counted, and the session lives", ([, said, counters, heard]) =>
    Effect.gen(function* () {
      const { peer, session } = yield* tell()(said)
      assert.deepStrictEqual(session.counters(), { ...none, ...counters })
      assert.deepStrictEqual(peer.heard, heard === undefined ? [] : [heard])
      yield* start(session.handle({ ...silent, ping: () => Effect.void }))
      yield* peer.say(["ask", 1_000, "ping"])
      yield* turn
      assert.deepStrictEqual(peer.heard.at(-1), ["ok", 1_000, null])
    })
  )

  it.effect("bytes that are no packet are counted", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      yield* peer.wire.send(new Uint8Array([0, 0, 0, 200, 1, 2, 3]))
      yield* turn
      assert.strictEqual(session.counters().malformed, 1)
    })
  )

  it.effect("a request that does not decode is answered with what is wrong with it", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* tell()(["ask", 3, "rename", { not: "text" }])
      const [kind, id, code, detail] = peer.heard[0] as ReadonlyArray<unknown>
      assert.deepStrictEqual([kind, id, code], ["fail", 3, "invalid"])
      assert.match(String(detail), /string/i)
      assert.strictEqual(session.counters().undecodable, 1)
    })
  )

  it.effect("what is wrong is told in at most 1,024 characters, of a name in 64", () =>
    Effect.gen(function* () {
      const { peer } = yield* tell()(["ask", 3, "x".repeat(10_000), 1])
      yield* peer.say(["ask", 4, "never", 1])
      yield* turn
      for (const packet of peer.heard) {
        const detail = (packet as ReadonlyArray<string>)[3]!
        assert.isAtMost(detail.length, 1_024)
      }
      assert.lengthOf((peer.heard[1] as ReadonlyArray<string>)[3]!, 1_024)
      assert.isAtMost((peer.heard[0] as ReadonlyArray<string>)[3]!.length, 128)
      assert.lengthOf(peer.heard, 2)
    })
  )

  const judged = harmless.filter(([, said, , heard]) => {
    return heard === undefined && !["cancel", "more"].includes((said as ReadonlyArray<string>)[0]!)
  })

  it.effect.each(judged)("%s ends the session where onInvalid says so", ([, said]) =>
    Effect.gen(function* () {
      const { peer, session } = yield* tell({ onInvalid: () => "Close" })(said)
      const closed = yield* peer.wire.closed
      const isUndecodable = (said as ReadonlyArray<unknown>)[2] === 1 && (said as ReadonlyArray<unknown>)[1] === "say"
      assert.strictEqual(closed.received?.code, isUndecodable ? 1007 : 4400)
      assert.notStrictEqual(closed.received?.reason, "")
      assert.strictEqual(yield* reasonOf(session.ended), isUndecodable ? "Undecodable" : "SessionViolation")
    })
  )

  it.effect("is judged by what it said", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const onInvalid: Session.Options["onInvalid"] = (error) => {
        seen.push(`${error._tag}: ${error.message}`)
        return "Ignore"
      }
      const { peer } = yield* tell({ onInvalid })(["emit", "say", 1])
      yield* peer.say(["emit", "shout", 1])
      yield* turn
      assert.lengthOf(seen, 2)
      assert.match(seen[0]!, /^Undecodable: .*"say"/)
      assert.match(seen[1]!, /^SessionViolation: .*"shout"/)
    })
  )

  it.effect("ends the session, and not in silence, when onInvalid throws", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { peer, session } = yield* tell({ onInvalid: mistaken })(["emit", "shout", 1])
        assert.strictEqual((yield* peer.wire.closed).received?.code, 1011)
        const exit = yield* Effect.exit(session.ended)
        assert.match(exit._tag === "Failure" ? Cause.pretty(exit.cause) : "", /mistaken/)
        assert.deepStrictEqual(
          entries.filter(({ level }) => level === "Error").map(({ message }) => message),
          ["A session has failed"]
        )
      })
    )
  )
})

/** What a peer says that breaks the rules of the wire, whoever judges. */
const breaches: ReadonlyArray<readonly [what: string, said: ReadonlyArray<unknown>, reason: RegExp]> = [
  ["a second hello", [["hello", { contract: "chat", version: "1" }]], /second hello/],
  ["a welcome from a client", [["welcome", { contract: "chat", version: "1", session: "x" }]], /second welcome/],
  [
    "the number of a question that waits",
    [
      ["ask", 5, "ping"],
      ["ask", 5, "ping"]
    ],
    /number 5/
  ]
]

describe("a peer that breaks the rules", () => {
  it.effect.each(breaches)("%s closes with 4400 and says why", ([, said, reason]) =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      let interrupted = false
      const ping = () =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            interrupted = true
          })
        )
      const handling = yield* start(session.handle({ ...silent, ping }))
      yield* peer.say(["ask", 1, "ping"])
      yield* turn
      yield* peer.say(...said)
      const closed = yield* peer.wire.closed
      assert.strictEqual(closed.received?.code, 4400)
      assert.match(closed.received?.reason ?? "", reason)
      assert.strictEqual(yield* reasonOf(Fiber.join(handling)), "SessionViolation")
      assert.isTrue(interrupted)
    })
  )

  it.effect("elements beyond the credit close with 4400, and fail the stream", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* clientOf()
      const reading = yield* start(reasonOf(Stream.runDrain(session.stream("count", 9, { credit: 4 }))))
      yield* turn
      assert.deepStrictEqual(peer.heard, [["open", 1, "count", 9, 4]])
      yield* peer.say(["items", 1, [1, 2, 3, 4, 5]])
      const closed = yield* peer.wire.closed
      assert.strictEqual(closed.received?.code, 4400)
      assert.match(closed.received?.reason ?? "", /credit/)
      assert.strictEqual(yield* Fiber.join(reading), "SessionViolation")
    })
  )

  it.effect("credit is counted over messages", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* clientOf()
      // Opened, and pulled once: nothing is dealt with, so that no credit is given.
      yield* start(Stream.runForEach(session.stream("count", 9, { credit: 4 }), () => Effect.never))
      yield* turn
      yield* peer.say(["items", 1, [1]], ["items", 1, [2, 3, 4]])
      yield* turn
      assert.strictEqual(session.counters().late, 0)
      yield* peer.say(["items", 1, [5]])
      assert.strictEqual((yield* peer.wire.closed).received?.code, 4400)
    })
  )
})

const asking = (session: Client) => start(reasonOf(session.request("rename", "ada")))

describe("answers", () => {
  it.effect("behind the first are late, and counted", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* clientOf()
      const asked = yield* asking(session)
      yield* turn
      yield* peer.say(["ok", 1, "ada"], ["ok", 1, "again"], ["err", 1, {}])
      yield* turn
      assert.strictEqual(yield* Fiber.join(asked), "succeeded")
      assert.deepStrictEqual(session.counters(), { ...none, late: 2 })
      assert.deepStrictEqual(peer.heard, [["ask", 1, "rename", "ada"]])
    })
  )

  it.effect("behind a cancel are late, and counted", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* clientOf()
      yield* Effect.flatMap(asking(session), Fiber.interrupt)
      yield* turn
      assert.deepStrictEqual(peer.heard, [
        ["ask", 1, "rename", "ada"],
        ["cancel", 1]
      ])
      yield* peer.say(["ok", 1, "ada"])
      yield* turn
      assert.deepStrictEqual(session.counters(), { ...none, late: 1 })
    })
  )

  it.effect("of a stream are none to a request, which goes on", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* clientOf()
      const asked = yield* asking(session)
      yield* turn
      yield* peer.say(["end", 1], ["items", 1, [1]], ["ok", 1, "ada"])
      assert.strictEqual(yield* Fiber.join(asked), "succeeded")
      assert.deepStrictEqual(session.counters(), { ...none, foreign: 2 })
    })
  )

  it.effect.each([
    ["that do not decode", ["ok", 1, 7], "Undecodable"],
    ["with an error that does not decode", ["err", 1, { _tag: "Nobody" }], "Undecodable"],
    ["that it failed with a code that is newer than this end", ["fail", 1, "sunspots", ""], "Failed defect"],
    ["that nobody answers", ["fail", 1, "unavailable", ""], "Failed unavailable"]
  ] as const)("%s fail the request by a typed error", ([, said, reason]) =>
    Effect.gen(function* () {
      const { peer, session } = yield* clientOf()
      const asked = yield* asking(session)
      yield* peer.say(said)
      assert.strictEqual(yield* Fiber.join(asked), reason)
    })
  )
})

const flood = (peer: Peer, count: number) =>
  Effect.andThen(peer.say(...Array.from({ length: count }, (_, i) => ["emit", "tell", i])), turn)

describe("a session whose program does not keep up", () => {
  it.effect("reads no more when so many calls wait as may, though they came together, and goes on with room", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf({ limits: { maxPending: 10 } })
      const done: Array<number> = []
      let go: (() => void) | undefined
      const tell = (i: number) =>
        Effect.callback<void>((resume) => {
          go = () => {
            done.push(i)
            resume(Effect.void)
          }
        })
      yield* start(session.handle({ ...silent, tell }))
      yield* flood(peer, 30)
      // Behind them: it is not even seen to be wrong.
      yield* peer.say("{")
      yield* turn
      assert.strictEqual(session.counters().malformed, 0)
      for (let i = 0; i < 20; i++) go?.()
      yield* turn
      assert.strictEqual(session.counters().malformed, 0)
      go?.()
      yield* turn
      assert.strictEqual(session.counters().malformed, 1)
      for (let i = 0; i < 9; i++) go?.()
      assert.deepStrictEqual(
        done,
        Array.from({ length: 30 }, (_, i) => i)
      )
    })
  )

  it.effect("reads no more when what waits is as long as it may be, however little it is, and goes on with room", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf({ limits: { maxPendingBytes: 1_000 } })
      let go: (() => void) | undefined
      const say = () =>
        Effect.callback<void>((resume) => {
          go = () => resume(Effect.void)
        })
      yield* start(session.handle({ ...silent, say }))
      const long = ["emit", "say", "x".repeat(400)]
      // Behind the third nothing is read, not even what is wrong.
      yield* peer.say(long, long, long, long, "{")
      yield* turn
      for (const malformed of [0, 0, 1]) {
        assert.strictEqual(session.counters().malformed, malformed)
        go?.()
        yield* turn
      }
    })
  )

  it.effect("gives back what a message took, whatever became of it", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf({ limits: { maxPendingBytes: 1_000 } })
      const long = "x".repeat(400)
      const stopping = yield* start(session.handle({ ...silent, say: () => Effect.void }))
      let id = 0
      for (let i = 0; i < 10; i++) {
        yield* peer.say(["emit", "say", long])
        yield* peer.say(["ask", ++id, "rename", long], ["cancel", id])
        yield* peer.say(["ask", ++id, "ping"], ["ask", ++id, "rename", long], ["cancel", id], ["cancel", id - 1])
        yield* turn
      }
      yield* Fiber.interrupt(stopping)
      yield* peer.say("{")
      yield* turn
      assert.strictEqual(session.counters().malformed, 1)
    })
  )

  it.effect("refuses a stream when those that are open were asked for with as many bytes as they may be", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf({ limits: { maxPendingBytes: 100 } })
      yield* start(session.handle(silent))
      const trace = "0".repeat(100)
      yield* peer.say(["open", 1, "count", 1, 1, { trace }], ["open", 2, "count", 1, 1])
      yield* turn
      assert.deepStrictEqual(peer.heard.at(-1), ["fail", 2, "unavailable", "too many streams are open"])
      yield* peer.say(["cancel", 1], ["open", 3, "count", 1, 1], "{")
      yield* turn
      assert.strictEqual(peer.heard.length, 1)
      assert.strictEqual(session.counters().malformed, 1)
    })
  )

  it.effect("drops what nobody listens for yet, beyond as many bytes as may wait", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf({ limits: { maxPendingBytes: 1_000 } })
      yield* peer.say(...Array.from({ length: 10 }, () => ["emit", "say", "x".repeat(400)]))
      yield* turn
      assert.strictEqual(session.counters().unheard, 7)
    })
  )

  it.effect("notices the end of its connection all the same", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf({ limits: { maxPending: 4 } })
      let interrupted = 0
      const ping = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      const handling = yield* start(session.handle({ ...silent, ping }, { concurrency: "unbounded" }))
      for (let i = 1; i < 10; i++) yield* peer.say(["ask", i, "ping"])
      yield* turn
      yield* start(peer.wire.close())
      // Its Close is answered when what came before it was taken, or soon at all events.
      yield* TestClock.adjust("5 seconds")
      assert.isDefined(handling.pollUnsafe())
      assert.isAtLeast(interrupted, 4)
    })
  )

  it.effect("is asked by a server for what no client answers, without an end", () =>
    Effect.gen(function* () {
      // Nobody ever calls `handle`.
      const { peer, session } = yield* clientOf({ limits: { maxPending: 4 } })
      for (let i = 1; i <= 50; i++) yield* peer.say(["ask", i, "nonsense", null])
      yield* turn
      assert.lengthOf(peer.heard, 50)
      assert.strictEqual(session.counters().unknown, 50)
    })
  )
})

describe("a ping", () => {
  it.effect.each([
    ["a server", () => serverOf()],
    ["a client", () => clientOf()]
  ] as const)("is answered by %s, though nobody handles anything", ([, open]) =>
    Effect.gen(function* () {
      const { peer, session } = yield* open()
      yield* peer.say(["ping", 7], ["ping", 8])
      yield* turn
      assert.deepStrictEqual(peer.heard, [
        ["pong", 7],
        ["pong", 8]
      ])
      assert.deepStrictEqual(session.counters(), none)
    })
  )

  it.effect("measures how long its answer takes, and those before it have theirs with it", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const first = yield* start(session.ping)
      yield* TestClock.adjust(30)
      const second = yield* start(session.ping)
      yield* TestClock.adjust(12)
      assert.deepStrictEqual(peer.heard, [
        ["ping", 1],
        ["ping", 2]
      ])
      yield* peer.say(["pong", 2])
      assert.strictEqual(Duration.toMillis(yield* Fiber.join(first)), 42)
      assert.strictEqual(Duration.toMillis(yield* Fiber.join(second)), 12)
      // What is answered again, or by its number alone, is nothing to be upset about.
      yield* peer.say(["pong", 1], ["pong", 2])
      yield* turn
      assert.deepStrictEqual(session.counters(), none)
    })
  )

  it.effect("that was never said cannot be answered", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* clientOf()
      yield* peer.say(["pong", 1])
      yield* turn
      assert.deepStrictEqual(session.counters(), { ...none, foreign: 1 })
    })
  )

  it.effect("ends with the session, and is forgotten by who is interrupted", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* clientOf()
      yield* Fiber.interrupt(yield* start(session.ping))
      const asked = yield* start(reasonOf(session.ping))
      yield* turn
      yield* peer.wire.close()
      assert.strictEqual(yield* Fiber.join(asked), "Disconnected")
      assert.strictEqual(yield* reasonOf(session.ping), "Disconnected")
    })
  )

  it.effect("of a peer that does not read costs one answer, however many there are", () =>
    Effect.gen(function* () {
      const wires = yield* WebSocket.makePair()
      const said: Array<unknown> = []
      const gate = yield* Deferred.make<void>()
      const { closed, pull, receive, subprotocol } = wires.server
      const send = (message: unknown) => {
        said.push(JSON.parse(message as string))
        return said.length === 1 ? Effect.void : Deferred.await(gate)
      }
      const slow: Wire = { close: () => wires.server.close(), closed, pull, receive, send, subprotocol }
      yield* wires.client.sendAll(
        [
          ["hello", { contract: "chat", version: "1" }],
          ...Array.from({ length: 1_000 }, (_, n) => ["ping", n + 1])
        ].map((packet) => JSON.stringify(packet))
      )
      yield* Session.accept(Chat, slow)
      yield* turn
      assert.deepStrictEqual(said.slice(1), [["pong", 1]])
      yield* Deferred.succeed(gate, undefined)
      yield* turn
      assert.deepStrictEqual(said.slice(1), [
        ["pong", 1],
        ["pong", 1_000]
      ])
    })
  )
})
