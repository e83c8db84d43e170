/** Clients that say anything at all: none harms more than its own session, and nothing of them stays. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as Hub from "@millrace/core/cluster/Hub"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as EngineServer from "@millrace/core/interop/engineio/EngineServer"
import type { EngineSession } from "@millrace/core/interop/engineio/EngineSession"
import * as EnginePacket from "@millrace/core/interop/engineio/Packet"
import * as Packet from "@millrace/core/interop/socketio/Packet"
import type * as Socket from "@millrace/core/interop/socketio/Socket"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import { start, turn } from "../../../support/connection.ts"
import { mutatedText } from "../../../support/engineio.ts"
import { packet } from "../../../support/socketio.ts"

/** Echoes, joins what it is told to, and has events with names that mean something elsewhere. */
const serve = (options: Partial<SocketServer.Options<undefined>> = {}) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const told: Array<unknown> = []
    let released = 0
    const connect: Socket.Connect<undefined> = (socket) =>
      Effect.gen(function* () {
        yield* Effect.addFinalizer(() => Effect.sync(() => void released++))
        return {
          echo: (args) => Effect.succeed(args),
          error: (args) => Effect.sync(() => void told.push(["error", ...args])),
          toString: (args: ReadonlyArray<unknown>) => Effect.sync(() => void told.push(["toString", ...args])),
          join: ([room]) => Effect.as(Effect.orDie(socket.join(String(room))), []),
          leave: ([room]) => Effect.as(socket.leave(String(room)), [])
        }
      })
    const io = yield* Effect.provideService(
      SocketServer.make<undefined>({ namespaces: { "/": connect, "/admin": connect }, ...options }),
      Hub.Hub,
      hub
    )
    const engine = yield* EngineServer.make()
    const openAs = Effect.fnUntraced(function* (user: string | undefined) {
      const { client, server } = yield* WebSocket.makePair()
      const heard: Array<string> = []
      const listen = Stream.runForEach(client.messages, (message) =>
        Effect.sync(() => void (message._tag === "Text" && heard.push(message.text)))
      )
      yield* start(Effect.ignore(listen))
      let session: EngineSession | undefined
      yield* start(
        Effect.suspend(() => {
          session = engine.openUnsafe(io.open({ user, request: undefined }), server)
          return session.read(server)
        })
      )
      yield* turn
      /** As many as are taken. */
      const say = (...messages: ReadonlyArray<string | Uint8Array>) =>
        Effect.andThen(
          Effect.forEach(
            messages,
            (data) => Effect.ignore(client.send(EnginePacket.encode({ _tag: "Message", data }))),
            { discard: true }
          ),
          Effect.andThen(turn, turn)
        )
      return { say, took: () => heard.splice(0), session: session!, close: Effect.andThen(client.close(), turn) }
    })
    return { hub, io, engine, open: openAs(undefined), openAs, told, released: () => released }
  })

const placeOf = (heard: ReadonlyArray<string>) => JSON.parse(heard.at(-1)!.slice(2)) as Record<"pid" | "sid", string>

const messagesOf = (one: Packet.Packet): ReadonlyArray<string | Uint8Array> => {
  const encoded = Packet.encode(one)
  return Result.isSuccess(encoded) ? [encoded.success.text, ...encoded.success.attachments] : []
}

const message = fc.oneof(
  fc.constantFrom<ReadonlyArray<string | Uint8Array>>(
    ["0"],
    ["0/admin,"],
    ["0/__proto__,"],
    ["1"],
    ['20["echo",1]'],
    ['2["join","r"]'],
    ['2["leave","r"]'],
    ['2["error",1]'],
    ['51-7["echo",{"_placeholder":true,"num":0}]', new Uint8Array([1])]
  ),
  packet.map(messagesOf),
  mutatedText(packet.map((one) => String(messagesOf(one)[0] ?? "0"))).map((text) => [text]),
  fc.string({ unit: "binary", maxLength: 12 }).map((text) => [text]),
  fc.uint8Array({ maxLength: 4 }).map((bytes) => [bytes])
)

describe("whatever a client says", () => {
  it.effect(
    "others are served as before, and nothing of it is there when it has gone",
    () =>
      Effect.gen(function* () {
        const { engine, hub, io, open } = yield* serve({ recovery: true })
        const other = yield* open
        yield* other.say("0")
        other.took()
        let cut = 0
        for (const history of fc.sample(fc.array(message, { maxLength: 12 }), 100)) {
          const one = yield* open
          yield* one.say("0", ...history.flat())
          if (one.session.isOver) cut++
          yield* one.close
          yield* other.say('20["echo","still here"]')
          assert.deepStrictEqual(other.took(), ['430["still here"]'], JSON.stringify(history))
        }
        assert.isAbove(cut, 10)
        assert.strictEqual(engine.size, 1)
        // Who may come back gets what it misses from the log, and is in no topic meanwhile.
        assert.strictEqual(hub.members("r"), 0)
        yield* TestClock.adjust("3 minutes")
        assert.deepStrictEqual([io.of("/").sockets.size, io.of("/admin").sockets.size, hub.topics()], [0, 0, 0])
        assert.isFalse(Object.hasOwn(Object.prototype, "a"))
      }),
    60_000
  )

  it.effect("leaves nothing behind, however often it comes, joins and goes", () =>
    Effect.gen(function* () {
      const { engine, hub, io, open, released } = yield* serve()
      for (let i = 0; i < 100; i++) {
        const one = yield* open
        yield* one.say("0", "0/admin,", `2["join","room ${i}"]`, '2/admin,["join","r"]', '2["leave","r"]')
        assert.strictEqual(hub.members(`room ${i}`), 1)
        // In order, by a fault, and by the end of its connection.
        if (i % 3 === 0) yield* one.say("1", "1/admin,")
        else if (i % 3 === 1) yield* one.say("x")
        yield* one.close
      }
      yield* turn
      assert.deepStrictEqual(
        [engine.size, hub.topics(), io.of("/").sockets.size, io.of("/admin").sockets.size, released()],
        [0, 0, 0, 0, 200]
      )
    })
  )
})

describe("a name", () => {
  it.effect("that means something to an object is the name of an event where a program has one, and nothing else", () =>
    Effect.gen(function* () {
      const { open, told } = yield* serve()
      const one = yield* open
      yield* one.say("0", '2["error","a"]', '2["toString",1]', '20["valueOf"]', '21["hasOwnProperty"]', '22["echo",2]')
      assert.deepStrictEqual(told, [
        ["error", "a"],
        ["toString", 1]
      ])
      assert.deepStrictEqual(one.took().slice(2), ["432[2]"])
      assert.isFalse(one.session.isOver)
    })
  )

  it.effect("by which a client would come back is nobody's, whatever it is", () =>
    Effect.gen(function* () {
      const { io, open } = yield* serve({ recovery: true })
      for (const auth of [
        { pid: "constructor", offset: "toString" },
        { pid: "toString" },
        { pid: 7, offset: 7 },
        { pid: ["a"], offset: {} },
        { pid: null },
        { pid: "" },
        { pid: "x".repeat(100_000), offset: "x".repeat(100_000) }
      ]) {
        const one = yield* open
        yield* one.say(`0${JSON.stringify(auth)}`)
        assert.match(one.took().at(-1)!, /^40\{"sid":"[\w-]{22}","pid":"[\w-]{22}"\}$/)
      }
      assert.strictEqual(io.of("/").sockets.size, 7)
    })
  )

  it.effect("of a place that somebody else was told brings nobody to it", () =>
    Effect.gen(function* () {
      const { io, open } = yield* serve({ recovery: true })
      const ada = yield* open
      yield* ada.say("0")
      const { pid, sid } = placeOf(ada.took())
      // The socket's id, which others may know, is not what it comes back by; and a namespace is no other.
      const eve = yield* open
      yield* eve.say(`0${JSON.stringify({ pid: sid })}`, `0/admin,${JSON.stringify({ pid })}`)
      for (const said of eve.took().slice(1)) assert.notInclude(said, sid)
      assert.isFalse(ada.session.isOver)
      assert.strictEqual(io.of("/").sockets.size, 2)
    })
  )

  it.effect("of a place is no use to another user, and who was told it is not disturbed", () =>
    Effect.gen(function* () {
      const { io, openAs } = yield* serve({ recovery: true })
      const ada = yield* openAs("ada")
      yield* ada.say("0")
      const { pid, sid } = placeOf(ada.took())
      for (const user of ["eve", undefined]) {
        const other = yield* openAs(user)
        yield* other.say(`0${JSON.stringify({ pid })}`)
        const its = placeOf(other.took())
        assert.deepStrictEqual([its.sid === sid, its.pid === pid, ada.session.isOver], [false, false, false])
        assert.strictEqual(io.of("/").sockets.get(its.sid)!.user, user)
      }
      yield* ada.close
      const again = yield* openAs("ada")
      yield* again.say(`0${JSON.stringify({ pid })}`)
      assert.strictEqual(placeOf(again.took()).sid, sid)
    })
  )
})

describe("counts", () => {
  it.effect("have bounds: 64 namespaces, and what is left makes room", () =>
    Effect.gen(function* () {
      const { open } = yield* serve({ namespaces: () => () => Effect.void })
      const one = yield* open
      const names = Array.from({ length: 64 }, (_, i) => `/n${i}`)
      yield* one.say(...names.map((name) => `0${name},`))
      for (let i = 0; i < 100; i++) yield* one.say("1/n0,", "0/n0,")
      assert.isFalse(one.session.isOver)
      yield* one.say("0/more,")
      assert.isTrue(one.session.isOver)
    })
  )

  it.effect("of answers are those of what was asked: none twice, none of somebody else's", () =>
    Effect.gen(function* () {
      const { io, open } = yield* serve()
      const one = yield* open
      const other = yield* open
      yield* one.say("0")
      yield* other.say("0")
      const [socket] = io.of("/").sockets.values()
      const asking = yield* start(socket!.ask("q", []))
      yield* other.say('30["theirs"]', '31["theirs"]')
      yield* one.say('31["no"]', `3${Number.MAX_SAFE_INTEGER}["no"]`, '30["mine"]', '30["again"]')
      assert.deepStrictEqual(yield* Fiber.join(asking), ["mine"])
      assert.deepStrictEqual([one.session.isOver, other.session.isOver], [false, false])
    })
  )
})
