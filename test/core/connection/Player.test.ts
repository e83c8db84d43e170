/** What is played of a recording, when, and what is said of it afterwards. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as Player from "@millrace/core/connection/Player"
import * as Recorder from "@millrace/core/connection/Recorder"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import { start, turn, world } from "../../support/connection.ts"
import { frame, of, text } from "../../support/recordings.ts"
import { hex, utf8 } from "../../support/wire.ts"
import { echo, log, servedBytes, shown } from "../../support/played.ts"

/** A client, connected to a server that does this. */
const served = <E>(handler: (connection: WebSocket.WebSocket) => Effect.Effect<unknown, E>) =>
  Effect.gen(function* () {
    const { client, server } = yield* WebSocket.makePair()
    yield* Effect.forkScoped(handler(server), { startImmediately: true })
    return client
  })

describe("play", () => {
  it.effect("says what was said, each when what came before it is answered, and gives the same conversation", () =>
    Effect.gen(function* () {
      const played = yield* Player.play(log, yield* served(echo))
      expect(shown(played)).toEqual([
        '0 client: text of 3 bytes: "one"',
        '0 server: text of 3 bytes: "one"',
        '0 client: text of 3 bytes: "two"',
        '0 server: text of 3 bytes: "two"',
        '0 client: Close 1000 ""',
        '0 server: Close 1000 ""'
      ])
      expect(played.entries.at(-1)).toEqual({ _tag: "End", t: 0, error: undefined })
      expect(Player.compare(log, played)).toBe(undefined)
    })
  )

  it.effect("says it at the recorded pace", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_790_000_000_000)
      const playing = yield* start(Player.play(log, yield* served(echo), { pace: "recorded" }))
      yield* TestClock.adjust("3 seconds")
      const played = yield* Fiber.join(playing)
      expect(shown(played)).toEqual([
        '1 client: text of 3 bytes: "one"',
        '1 server: text of 3 bytes: "one"',
        '2000 client: text of 3 bytes: "two"',
        '2000 server: text of 3 bytes: "two"',
        '3000 client: Close 1000 ""',
        '3000 server: Close 1000 ""'
      ])
    })
  )

  it.effect("says it at the recorded pace to who does not answer, too", () =>
    Effect.gen(function* () {
      const heard: Array<number> = []
      const client = yield* served((server) =>
        Stream.runForEach(server.messages, ({ length }) => Effect.sync(() => heard.push(length)))
      )
      const playing = yield* start(Player.play(log, client, { pace: "recorded", patience: "1 hour" }))
      yield* TestClock.adjust("1999 millis")
      expect(heard).toEqual([3])
      yield* TestClock.adjust("1 millis")
      expect(heard).toEqual([3, 3])
      yield* Fiber.interrupt(playing)
    })
  )

  it.effect("says it at once, whoever answers", () =>
    Effect.gen(function* () {
      const recording = of(text("client", "one"), text("server", "1"), text("client", "two"))
      const client = yield* served(() => Effect.never)
      const playing = yield* start(Player.play(recording, client, { pace: "at once", patience: "1 second" }))
      yield* TestClock.adjust("1 second")
      expect(shown(yield* Fiber.join(playing)).length).toBe(2)
    })
  )

  it.effect("does not say what nobody has waited for: it stops where an answer is missing", () =>
    Effect.gen(function* () {
      const client = yield* served((server) => Effect.andThen(server.receive, Effect.never))
      const playing = yield* start(Player.play(log, client, { patience: "3 seconds" }))
      yield* TestClock.adjust("2999 millis")
      expect(playing.pollUnsafe()).toBe(undefined)
      yield* TestClock.adjust("1 millis")
      const played = yield* Fiber.join(playing)
      expect(shown(played)).toEqual(['0 client: text of 3 bytes: "one"'])
      expect(Player.compare(log, played)).toMatchObject({ _tag: "Missing", index: 0 })
    })
  )

  it.effect("waits ten seconds for an answer, unless it is told otherwise", () =>
    Effect.gen(function* () {
      const playing = yield* start(Player.play(log, yield* served(() => Effect.never)))
      yield* TestClock.adjust("9999 millis")
      expect(playing.pollUnsafe()).toBe(undefined)
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(playing)
    })
  )

  it.effect("stops when the other end closes, and says with what", () =>
    Effect.gen(function* () {
      const client = yield* served((server) => Effect.andThen(server.receive, server.close(4_000, "no")))
      const played = yield* Player.play(log, client)
      expect(Player.compare(log, played)).toMatchObject({ _tag: "Changed", index: 0 })
      expect(shown(played)).toEqual(['0 client: text of 3 bytes: "one"', '0 server: Close 4000 "no"'])
      expect(played.entries.at(-1)).toMatchObject({ _tag: "End" })
    })
  )

  it.effect("does not wait for the time of what it cannot say any more", () =>
    Effect.gen(function* () {
      const client = yield* served((server) => server.close(4_000, "no"))
      const playing = yield* start(Player.play(log, client, { pace: "recorded" }))
      yield* TestClock.adjust("1 millis")
      expect(shown(yield* Fiber.join(playing))).toEqual(['0 server: Close 4000 "no"'])
    })
  )

  it.effect("finds what was said otherwise, and what was said too much", () =>
    Effect.gen(function* () {
      const shout = yield* served((server) => Stream.runForEach(server.messages, () => server.send("ONE")))
      const changed = Player.compare(log, yield* Player.play(log, shout))
      expect(changed === undefined ? changed : Player.showDifference(changed)).toBe(
        'server\'s no. 1 was text of 3 bytes: "ONE", expected text of 3 bytes: "one"'
      )
      const twice = yield* served((server) =>
        Stream.runForEach(server.messages, (message) => server.sendAll([message, message]))
      )
      expect(Player.compare(log, yield* Player.play(log, twice))).toMatchObject({ _tag: "Changed", index: 1 })
    })
  )

  it.effect("joins fragments, and leaves Pings and Pongs to the connection", () =>
    Effect.gen(function* () {
      const recording = of(
        frame("client", "ping", "?"),
        frame("client", "binary", hex("01"), { fin: false }),
        frame("client", "pong", ""),
        frame("client", "continuation", hex("02")),
        frame("server", "binary", hex("01 02"))
      )
      const played = yield* Player.play(recording, yield* served(echo))
      expect(shown(played)).toEqual(["0 client: binary of 2 bytes: 01 02", "0 server: binary of 2 bytes: 01 02"])
    })
  )

  it.effect.each([
    ["entries", { maxEntries: 3 }],
    ["bytes", { maxBytes: 11 }]
  ] as const)("keeps so many %s, and then neither says nor reads any more", ([, limits]) =>
    Effect.gen(function* () {
      const played = yield* Player.play(log, yield* served(echo), { limits })
      expect(shown(played).length).toBe(3)
      expect(played.entries.at(-1)).toEqual({ _tag: "Omitted", t: 0, bytes: 5 })
    })
  )

  it.effect("leaves to who reads next what it has no room for, but for the first of it, and says so once", () =>
    Effect.gen(function* () {
      const said = ["one", "two", "three", "four"]
      const client = yield* served((server) => server.sendAll(said))
      const recording = of(...said.map((one) => text("server", one)))
      yield* Player.play(recording, client, { limits: { maxEntries: 1 } })
      expect((yield* client.receive).bytes).toEqual(utf8("three"))
      const ours = of(...said.map((one) => text("client", one)))
      const played = yield* Player.play(ours, client, { limits: { maxEntries: 1 } })
      expect(played.entries.map(({ _tag }) => _tag)).toEqual(["Frame", "Omitted"])
    })
  )

  it.effect("reads no more than there is room for, also while it waits for the time of something", () =>
    Effect.gen(function* () {
      const client = yield* served((server) => server.sendAll(["one", "two", "three"]))
      const recording = of(text("client", "later", { t: 1_000 }))
      const playing = yield* start(Player.play(recording, client, { pace: "recorded", limits: { maxEntries: 1 } }))
      yield* Effect.repeat(turn, { times: 5 })
      yield* Fiber.interrupt(playing)
      expect((yield* client.receive).bytes).toEqual(utf8("three"))
    })
  )

  it.effect("keeps no more of a message than it is told, but knows how long it was", () =>
    Effect.gen(function* () {
      const played = yield* Player.play(log, yield* served(echo), { limits: { maxPayloadBytes: 1 } })
      expect(played.entries).toMatchObject([{}, { payload: utf8("o"), cut: 2 }, {}, { cut: 2 }, {}, { cut: 0 }, {}])
      expect(Player.compare(log, played)).toBe(undefined)
    })
  )

  it.effect("leaves a connection open that nothing in the recording closes, and what comes to who reads next", () =>
    Effect.gen(function* () {
      const client = yield* served(echo)
      const played = yield* Player.play(of(text("client", "a"), text("server", "a")), client)
      expect(played.entries.length).toBe(2)
      yield* client.send("b")
      expect((yield* client.receive).bytes).toEqual(utf8("b"))
    })
  )

  it.effect("plays a server to a client", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      const heard = yield* Effect.forkScoped(
        Effect.gen(function* () {
          yield* client.send("one")
          const first = yield* client.receive
          yield* client.send("two")
          const second = yield* client.receive
          yield* client.close()
          return [first.bytes, second.bytes]
        })
      )
      const played = yield* Player.play(log, server, { as: "server" })
      expect(yield* Fiber.join(heard)).toEqual([utf8("one"), utf8("two")])
      expect(played.header.role).toBe("server")
      expect(Player.compare(log, played)).toBe(undefined)
    })
  )

  it.effect.each([
    ["bytes that are no frame", { _tag: "Raw", t: 0, from: "client", bytes: hex("83"), cut: 0, violation: undefined }],
    ["half a message", text("client", "a", { torn: 3 })],
    ["a message without an end", text("client", "a", { fin: false })],
    ["what was cut", text("client", "a", { cut: 1 })],
    ["what was compressed", text("client", "a", { rsv: 4 })],
    ["a Close with a wrong code", frame("client", "close", hex("03 e7"))]
  ] as const)("refuses %s, and says nothing", ([, entry]) =>
    Effect.gen(function* () {
      const client = yield* served(echo)
      const error = yield* Effect.flip(Player.play(of(text("client", "a"), entry), client))
      expect(error).toMatchObject({ _tag: "Unplayable", entry: 1 })
      yield* client.send("the first")
      expect((yield* client.receive).bytes).toEqual(utf8("the first"))
    })
  )

  it.effect("does not mind what it need not play", () =>
    Effect.gen(function* () {
      const recording = of(text("client", "a"), text("server", "a", { cut: 1, rsv: 4 }))
      const played = yield* Player.play(recording, yield* served(echo))
      expect(Player.compare(recording, played)).toMatchObject({ _tag: "Changed" })
    })
  )

  it("replays any conversation with an echo, as it was recorded and printed, without a difference", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(
            fc.oneof(fc.string({ unit: "grapheme", maxLength: 20 }), fc.uint8Array({ maxLength: 300 })),
            fc.boolean()
          ),
          { maxLength: 15 }
        ),
        fc.option(fc.constantFrom(1000, 1001, 1005, 4321), { nil: undefined }),
        fc.constantFrom("play" as const, "bytes" as const, "through" as const),
        fc.constantFrom("answers" as const, "at once" as const),
        (said, code, how, pace) =>
          world(
            Effect.gen(function* () {
              const recorder = yield* Recorder.make()
              const { client, server } = yield* WebSocket.makePair({}, { client: recorder.tap })
              yield* Effect.forkScoped(echo(server))
              for (const [message, waits] of said) {
                yield* client.send(message)
                if (waits) yield* turn
              }
              yield* turn
              if (code !== undefined) yield* client.close(code)
              const written = RecordingText.print(recorder.recording!)
              const recording = yield* Effect.fromResult(RecordingText.parse(written))
              // Whoever closes at once need not be answered.
              const options = { pace: code === undefined ? pace : "answers" }
              const played =
                how === "play"
                  ? yield* Player.play(recording, yield* served(echo), options)
                  : how === "bytes"
                    ? yield* Player.playBytes(recording, yield* servedBytes(echo), options)
                    : yield* Player.playThrough(
                        recording,
                        (tap) =>
                          Effect.flatMap(WebSocket.makePair({}, { client: tap }), ({ server }) =>
                            Effect.forkScoped(echo(server))
                          ),
                        options
                      )
              expect(Player.compare(recording, played)).toBe(undefined)
              expect(Player.compare(recording, played, { from: "client" })).toBe(undefined)
            })
          )
      ),
      { numRuns: 60 }
    ))
})
