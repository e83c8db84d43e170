/** Connections in any history: two ends that talk, and many that are killed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import type * as Limits from "@millrace/core/connection/Limits"
import * as Transport from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import { TransportError } from "@millrace/core/connection/WebSocketError"
import * as frames from "../../support/frames.ts"
import { counted, over, plain, start, turn, world } from "../../support/connection.ts"
import { TestTransport } from "../../support/TestTransport.ts"

const message: fc.Arbitrary<string | Uint8Array> = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }).filter((text) => !/\p{Surrogate}/u.test(text)),
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(125, 126, 4096, 4097, 65_535, 65_536).map(frames.counting),
  fc.constantFrom(42, 63, 125, 126, 5000).map((length) => "é".repeat(length))
)

/** What one end sends, turn by turn. */
const history = fc.array(fc.array(message, { maxLength: 4 }), { maxLength: 6 })

/** Small bounds, so that both ends wait for one another all the time. */
const limits = fc.record({
  inboxBytes: fc.constantFrom(0, 100, 65_536),
  outboxBytes: fc.constantFrom(1, 100, 1_048_576),
  /** The longest piece that a transport gives: a connection knows nothing of it. */
  piece: fc.constantFrom(7, 100, 1448, Infinity)
})

type Bounds = Pick<Limits.Limits, "inboxBytes" | "outboxBytes"> & { readonly piece: number }

type History = ReadonlyArray<ReadonlyArray<string | Uint8Array>>

/** Everything that comes, by a reader that is slow now and then. */
const receiveAll = (connection: WebSocket.WebSocket) =>
  start(
    Stream.runCollect(
      Stream.mapArrayEffect(connection.messages, (messages) =>
        messages.length % 2 === 0 ? Effect.as(turn, messages) : Effect.succeed(messages)
      )
    )
  )

/** Some turns in one array and some message by message; two without a rest between them and then one. */
const sendAll = (connection: WebSocket.WebSocket, history: History) =>
  start(
    Effect.gen(function* () {
      for (const [i, messages] of history.entries()) {
        if (i % 2 === 0) yield* connection.sendAll(messages)
        else for (const message of messages) yield* connection.send(message)
        if (i % 3 === 0) yield* turn
      }
    })
  )

/** The same transport, which cuts what it is given to write: the other end gets it in pieces of that length at most. */
const cutting = (transport: Transport.Transport, length: number): Transport.Transport => {
  const write = (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length; at += length) transport.write(bytes.subarray(at, at + length))
  }
  return {
    open: (receiver) => transport.open(receiver),
    pause: () => transport.pause(),
    resume: () => transport.resume(),
    write,
    writeAll: (chunks) => chunks.forEach(write),
    get writableLength() {
      return transport.writableLength
    },
    end: () => transport.end(),
    destroy: () => transport.destroy()
  }
}

const talk = (fromClient: History, fromServer: History, bounds: Bounds, key: number) =>
  Effect.gen(function* () {
    const [near, far] = Transport.makePair()
    const client = yield* over(cutting(near, bounds.piece), "client", bounds, () => key)
    const server = yield* over(cutting(far, bounds.piece), "server", bounds)
    const [atServer, atClient] = [yield* receiveAll(server), yield* receiveAll(client)]
    const sending = [yield* sendAll(client, fromClient), yield* sendAll(server, fromServer)]
    yield* Effect.forEach(sending, Fiber.join)
    // Each end's last word may still wait for the other to read; a Close would not wait for that.
    yield* turn
    for (let i = 0; near.writableLength + far.writableLength > 0 && i < 1000; i++) yield* turn
    yield* client.close()
    return [plain(yield* Fiber.join(atServer)), plain(yield* Fiber.join(atClient))]
  }).pipe(Effect.scoped)

describe("two ends joined in memory", () => {
  it("exchange any history of messages in both directions, under any bounds", () =>
    fc.assert(
      fc.asyncProperty(history, history, limits, frames.key, async (fromClient, fromServer, bounds, key) => {
        const got = await world(talk(fromClient, fromServer, bounds, key))
        assert.deepStrictEqual(got, [fromClient.flat(), fromServer.flat()])
      })
    ))
})

type Kill = (world: {
  readonly far: TestTransport
  readonly connection: WebSocket.WebSocket
  readonly scope: Scope.Closeable
}) => Effect.Effect<unknown>

/** Everything that can happen to a connection, most of which ends it. */
const happening: fc.Arbitrary<Kill> = fc.oneof(
  fc.uint8Array({ maxLength: 20 }).map(
    (noise): Kill =>
      ({ far }) =>
        Effect.sync(() => far.push(noise))
  ),
  fc
    .constantFrom("81 80 00 00 00 00", "01 81 00 00 00 00 61", "88 80 00 00 00 00", "89 80 00 00 00 00", "82 fe 10 00")
    .map(
      (wire): Kill =>
        ({ far }) =>
          Effect.sync(() => far.push(wire))
    ),
  fc.constant<Kill>(({ far }) => Effect.sync(() => far.hangUp())),
  fc.constant<Kill>(({ far }) => Effect.sync(() => far.hangUp(new TransportError({ cause: "reset" })))),
  fc.constant<Kill>(({ far }) => Effect.sync(() => far.stall())),
  fc.constant<Kill>(({ far }) => Effect.sync(() => far.drain())),
  fc.constant<Kill>(({ far }) => Effect.sync(() => void (far.broken = new Error("broken")))),
  fc.constant<Kill>(({ connection }) => start(Effect.ignore(connection.send("x".repeat(60))))),
  fc.constant<Kill>(({ connection }) => start(Effect.exit(connection.pull))),
  fc.constant<Kill>(({ connection }) => start(Effect.exit(connection.closed))),
  fc.constantFrom(1000, 1006, 4000).map(
    (code): Kill =>
      ({ connection }) =>
        start(Effect.ignore(connection.close(code)))
  ),
  fc.constant<Kill>(({ connection }) => Effect.flatMap(start(Effect.exit(connection.pull)), Fiber.interrupt)),
  fc.constant<Kill>(({ connection }) => Effect.flatMap(start(Effect.exit(connection.send("x"))), Fiber.interrupt)),
  fc.constantFrom(Exit.void, Exit.fail("no")).map(
    (exit): Kill =>
      ({ scope }) =>
        start(Scope.close(scope, exit))
  ),
  fc.constantFrom(1, 500, 6000, 26_000, 46_000).map(
    (millis): Kill =>
      () =>
        TestClock.adjust(millis)
  ),
  fc.constant<Kill>(() => turn)
)

/** Lives and kills connections that share a wheel, one after the other, and fails when something is left of them. */
const killAll = (histories: ReadonlyArray<ReadonlyArray<Kill>>) =>
  counted((running) =>
    Effect.gen(function* () {
      const before = { ...running }
      const outer = yield* Scope.make()
      const settings = WebSocket.settings("server", { outboxBytes: 100, inboxBytes: 100 })
      const wheel = yield* WebSocket.makeWheel(settings).pipe(Scope.provide(outer))
      const still = { ...running }
      const ends: Array<number> = []
      for (const [i, kills] of histories.entries()) {
        const far = new TestTransport()
        const scope = yield* Scope.make()
        const options = { transport: far, settings, wheel, subprotocol: undefined, handshake: undefined }
        const connection = yield* WebSocket.make(options).pipe(Scope.provide(scope))
        yield* start(Effect.tap(connection.closed, () => Effect.sync(() => ends.push(i))))
        for (const kill of kills) yield* kill({ far, connection, scope })
        const closing = yield* start(Scope.close(scope, Exit.interrupt()))
        yield* TestClock.adjust("5 seconds")
        assert.isDefined(closing.pollUnsafe(), "closing took longer than closeTimeout")
        assert.isTrue(far.ended, "the transport is open")
        assert.strictEqual(Reflect.get(wheel, "size"), 0, "a deadline is left")
        yield* turn
        const end = far.log.indexOf("end")
        const behind = end < 0 ? [] : far.log.slice(end).filter((line) => line.startsWith("write"))
        assert.deepStrictEqual(behind, [], "written behind the end")
      }
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(ends, [...histories.keys()])
      assert.deepStrictEqual(running, still)
      yield* Scope.close(outer, Exit.void)
      assert.deepStrictEqual(running, before)
    })
  )

describe("connections that are killed at random", () => {
  it("leave no fiber, no timer and nothing in the wheel, and no transport open", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(happening, { maxLength: 8 }), { minLength: 1, maxLength: 4 }),
        async (histories) => await world(killAll(histories))
      ),
      { numRuns: 300 }
    ))

  it.effect("leave no deadline for a reader who was to make room", () =>
    Effect.gen(function* () {
      const settings = WebSocket.settings("server", { inboxBytes: 100 })
      const wheel = yield* WebSocket.makeWheel(settings)
      const far = new TestTransport()
      const options = { transport: far, settings, wheel, subprotocol: undefined, handshake: undefined }
      const connection = yield* WebSocket.make(options)
      yield* Effect.flatMap(start(connection.pull), Fiber.interrupt)
      yield* start(Effect.ignore(connection.close()))
      for (let i = 0; i < 3; i++) far.push("81 80 00 00 00 00")
      assert.strictEqual(far.log.at(-1), "pause")
      assert.strictEqual(Reflect.get(wheel, "size"), 2)
      far.hangUp()
      assert.strictEqual(Reflect.get(wheel, "size"), 0)
    })
  )
})
