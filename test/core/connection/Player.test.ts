/** What is played of a recording, when, and what is said of it afterwards. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as Extension from "@millrace/core/connection/Extension"
import * as Player from "@millrace/core/connection/Player"
import * as Recorder from "@millrace/core/connection/Recorder"
import type { Tap } from "@millrace/core/connection/Tap"
import * as Transport from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Transcript from "@millrace/core/protocol/Transcript"
import type * as Recording from "@millrace/core/protocol/Recording"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import { over, start, turn, world } from "../../support/connection.ts"
import * as frames from "../../support/frames.ts"
import { end, frame, header, of, text } from "../../support/recordings.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { hex, utf8 } from "../../support/wire.ts"

const echo = (connection: WebSocket.WebSocket) => Stream.runForEach(connection.messages, connection.send)

const shown = (recording: Recording.Recording) =>
  Transcript.read(recording).map((said) => `${said.t} ${said.from}: ${Transcript.show(said)}`)

const closed = frame("client", "close", hex("03 e8"), { t: 3_000 })
const answered = frame("server", "close", hex("03 e8"), { t: 3_000 })

/** A conversation with an echo. */
const log = of(
  text("client", "one"),
  text("server", "one"),
  text("client", "two", { t: 2_000 }),
  text("server", "two", { t: 2_000 }),
  closed,
  answered,
  end
)

/** A client, connected to a server that does this. */
const served = <E>(handler: (connection: WebSocket.WebSocket) => Effect.Effect<unknown, E>) =>
  Effect.gen(function* () {
    const { client, server } = yield* WebSocket.makePair()
    yield* Effect.forkScoped(handler(server), { startImmediately: true })
    return client
  })

/** A transport, with a server at the other end that does this. */
const servedBytes = <E>(handler: (connection: WebSocket.WebSocket) => Effect.Effect<unknown, E>) =>
  Effect.gen(function* () {
    const [near, far] = Transport.makePair()
    const server = yield* over(far, "server")
    yield* Effect.forkScoped(handler(server), { startImmediately: true })
    return near
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

/** A transport whose far end is the test, and what is played to it. */
const playedTo = (recording: Recording.Recording, options?: Player.BytesOptions) =>
  Effect.gen(function* () {
    const far = new TestTransport()
    const playing = yield* start(Player.playBytes(recording, far, { patience: "1 second", ...options }))
    return { far, playing }
  })

describe("playBytes", () => {
  it.effect("writes the frames as they were: fragments, Pings, bits, and what breaks a rule", () =>
    Effect.gen(function* () {
      const recording = of(
        text("client", "He", { fin: false, rsv: 4 }),
        frame("client", "ping", "?"),
        frame("client", "continuation", "llo"),
        frame("client", "ping", "", { fin: false }),
        { _tag: "Raw", t: 1, from: "client", bytes: hex("83 00 ff"), cut: 0, violation: undefined }
      )
      const { far } = yield* playedTo(recording)
      expect(far.sent).toEqual(
        hex("41 82 00 00 00 00 48 65 89 81 00 00 00 00 3f 80 83 00 00 00 00 6c 6c 6f 09 80 00 00 00 00 83 00 ff")
      )
    })
  )

  it.effect("masks with the keys it is given, and what a server says not at all", () =>
    Effect.gen(function* () {
      const recording = of(text("client", "Hello"))
      const { far } = yield* playedTo(recording, { maskingKey: () => 0x37fa213d })
      expect(far.sent).toEqual(hex("81 85 37 fa 21 3d 7f 9f 4d 51 58"))
      expect(recording).toEqual(of(text("client", "Hello")))
      const server = yield* playedTo(of(text("server", "Hello")), { as: "server" })
      expect(server.far.sent).toEqual(hex("81 05 48 65 6c 6c 6f"))
    })
  )

  it.effect("writes half a frame under its whole length, and ends as it ended", () =>
    Effect.gen(function* () {
      const torn = text("client", "He", { torn: 0xfffe })
      const cut = { _tag: "Ended", t: 1, from: "client", abruptly: true } as const
      const { far, playing } = yield* playedTo(of(torn, cut, end))
      yield* Fiber.join(playing)
      expect(far.sent).toEqual(hex("81 ff 00 00 00 00 00 01 00 00 00 00 00 00 48 65"))
      expect(far.log[1]).toBe("destroy")
      const orderly = yield* playedTo(of({ ...cut, abruptly: false }, end))
      orderly.far.hangUp()
      yield* Fiber.join(orderly.playing)
      expect(orderly.far.log[0]).toBe("end")
    })
  )

  it.effect("answers the Pings that come, and leaves out the answers to those that came then", () =>
    Effect.gen(function* () {
      const recording = of(
        frame("server", "ping", "then"),
        frame("client", "pong", "then"),
        frame("client", "pong", "then"),
        frame("client", "pong", "by itself"),
        text("server", "a"),
        text("client", "b")
      )
      const { far, playing } = yield* playedTo(recording)
      expect(frames.read(far.sent).map(({ payload }) => payload)).toEqual([utf8("then"), utf8("by itself")])
      far.push(frames.encode(frames.frame(9, utf8("now"))))
      far.push(frames.encode(frames.frame(1, utf8("a"))))
      const played = yield* Fiber.join(playing)
      expect(shown(played)).toEqual([
        '0 client: Pong of 4 bytes: "then"',
        '0 client: Pong of 9 bytes: "by itself"',
        '0 server: Ping of 3 bytes: "now"',
        '0 client: Pong of 3 bytes: "now"',
        '0 server: text of 1 bytes: "a"',
        '0 client: text of 1 bytes: "b"'
      ])
    })
  )

  it.effect("waits for whole messages and Closes, and for neither fragments nor Pings", () =>
    Effect.gen(function* () {
      const recording = of(text("server", "ab"), text("client", "c"), answered, closed)
      const { far, playing } = yield* playedTo(recording)
      far.push("89 00 01 01 61")
      expect(far.sent.length).toBe(6)
      far.push("80 01 62")
      yield* turn
      expect(far.frames.map(({ opcode }) => opcode)).toEqual([10, 1])
      far.push("88 02 03 e8")
      yield* Fiber.join(playing)
      expect(far.frames.map(({ opcode }) => opcode)).toEqual([10, 1, 8])
    })
  )

  it.effect("gets from a server what it gets that breaks a rule: a Close with 1002", () =>
    Effect.gen(function* () {
      const recording = of(text("client", "a"), text("server", "a"), {
        _tag: "Raw",
        t: 1,
        from: "client",
        bytes: hex("83 80 00 00 00 00"),
        cut: 0,
        violation: undefined
      })
      const played = yield* Player.playBytes(recording, yield* servedBytes((server) => Effect.ignore(echo(server))))
      yield* turn
      expect(shown(played).slice(0, 3)).toEqual([
        '0 client: text of 1 bytes: "a"',
        '0 server: text of 1 bytes: "a"',
        "0 client: Raw of 6 bytes: 83 80 00 00 00 00"
      ])
      // With its end in the recording, the answer is waited for.
      const expected = frame("server", "close", hex("03 ea"))
      const whole = of(...recording.entries, expected, end)
      const again = yield* Player.playBytes(whole, yield* servedBytes((server) => Effect.ignore(echo(server))))
      expect(shown(again).at(-1)).toBe('0 server: Close 1002 "reserved opcode"')
      expect(Player.compare(whole, again, { isSame: (a, b) => a.payload[1] === b.payload[1] })).toBe(undefined)
    })
  )

  it.effect("stops when the transport ends, or the other end has ended, and waits for nothing more", () =>
    Effect.gen(function* () {
      const recording = of(text("server", "a"), text("client", "b"))
      const cut = yield* playedTo(recording)
      cut.far.hangUp()
      expect((yield* Fiber.join(cut.playing)).entries).toMatchObject([{ _tag: "End" }])
      const [near, far] = [new TestTransport(), [] as Array<Transport.Receiver>]
      const half = Object.assign(near, { open: (receiver: Transport.Receiver) => void far.push(receiver) })
      const playing = yield* start(Player.playBytes(recording, half))
      far[0]?.peerEnded?.()
      expect((yield* Fiber.join(playing)).entries).toMatchObject([{ _tag: "Ended", from: "server" }])
      expect(near.sent.length).toBe(0)
    })
  )

  it.effect("refuses what was cut, and opens nothing", () =>
    Effect.gen(function* () {
      const far = new TestTransport()
      const error = yield* Effect.flip(Player.playBytes(of(end, text("client", "a", { cut: 1 })), far))
      expect(String(error)).toBe("Unplayable: entry 1 of the recording, line 3 of its text: not all of it was recorded")
      expect(far.log).toEqual(["destroy"])
    })
  )

  it.effect("destroys the transport however it ends: played, silent, interrupted", () =>
    Effect.gen(function* () {
      const done = yield* playedTo(of(text("client", "a")))
      yield* Fiber.join(done.playing)
      expect(done.far.log.at(-1)).toBe("destroy")
      const silent = yield* playedTo(of(text("server", "a"), text("client", "b")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(silent.playing)
      expect(silent.far.log).toEqual(["destroy"])
      const interrupted = yield* playedTo(of(text("server", "a")))
      yield* Fiber.interrupt(interrupted.playing)
      expect(interrupted.far.log).toEqual(["destroy"])
    })
  )

  it.effect("keeps no more of what comes than it is told", () =>
    Effect.gen(function* () {
      const { far, playing } = yield* playedTo(of(text("server", "abc")), { limits: { maxPayloadBytes: 1 } })
      far.push("81 03 61 62 63")
      expect(shown(yield* Fiber.join(playing))).toEqual(['0 server: text of 3 bytes: "a"'])
    })
  )
})

/** A client over that transport, or what the tap makes of it. */
const connect =
  (far: TestTransport, made: Array<unknown> = []) =>
  (tap: Tap) => {
    const transport = tap(far, { role: "client", url: undefined, subprotocol: undefined, extensions: Extension.none })
    made.push(transport)
    return over(transport, "client")
  }

describe("playThrough", () => {
  it.effect("takes the transport from the connection, which hears nothing and can end", () =>
    Effect.gen(function* () {
      const far = new TestTransport()
      const taps: Array<unknown> = []
      const playing = yield* start(
        Player.playThrough(of(text("client", "a"), text("server", "b"), closed, answered, end), connect(far, taps))
      )
      expect(taps[0]).not.toBe(far)
      expect(far.sent).toEqual(hex("81 81 00 00 00 00 61"))
      far.push("89 00 81 01 62")
      yield* turn
      // One Pong, and it is the player's.
      expect(far.frames.map(({ opcode }) => opcode)).toEqual([1, 10, 8])
      far.push("88 02 03 e8")
      far.hangUp()
      const played = yield* Fiber.join(playing)
      expect(Player.compare(log, played, { from: "client" })?._tag).toBe("Changed")
      expect(played.entries.at(-1)).toEqual({ _tag: "End", t: 0, error: undefined })
      expect(far.frames.map(({ opcode }) => opcode)).toEqual([1, 10, 8])
    })
  )

  it.effect("takes the first connection only", () =>
    Effect.gen(function* () {
      const [first, second] = [new TestTransport(), new TestTransport()]
      const made: Array<unknown> = []
      const hangUp = Effect.addFinalizer(() => Effect.sync(() => second.hangUp()))
      const open = (tap: Tap) => Effect.all([connect(first, made)(tap), connect(second, made)(tap), hangUp])
      yield* Player.playThrough(of(text("client", "a")), open)
      expect(made[1]).toBe(second)
      expect(first.frames.length).toBe(1)
    })
  )

  it.effect("leaves nothing open when it is interrupted, and waits for nobody", () =>
    Effect.gen(function* () {
      const far = new TestTransport()
      const playing = yield* start(Player.playThrough(of(text("server", "a")), connect(far)))
      yield* Fiber.interrupt(playing)
      expect(far.log).toContain("destroy")
      expect(far.sent.length).toBe(0)
    })
  )

  it.effect("leaves nothing open when that fails which is behind the tap", () =>
    Effect.gen(function* () {
      const far = new TestTransport()
      const open = (tap: Tap) => {
        tap(far, { role: "client", url: undefined, subprotocol: undefined, extensions: Extension.none })
        return Effect.fail("no")
      }
      expect(yield* Effect.flip(Player.playThrough(of(), open))).toBe("no")
      expect(far.log).toEqual(["destroy"])
    })
  )

  it.effect("refuses what was coded otherwise than what is agreed on now", () =>
    Effect.gen(function* () {
      const coded = {
        header: { ...header, extensions: "permessage-deflate" },
        entries: [text("client", "a"), text("client", "b", { rsv: 4 })]
      }
      const far = new TestTransport()
      const atEnd: Array<string> = []
      const open = (tap: Tap) =>
        Effect.andThen(
          connect(far)(tap),
          Effect.addFinalizer(() => Effect.sync(() => atEnd.push(...far.log)))
        )
      const error = yield* Effect.flip(Player.playThrough(coded, open))
      expect(error).toMatchObject({
        _tag: "Unplayable",
        entry: 1,
        why: "it is coded by permessage-deflate, and agreed on is nothing"
      })
      // Before a session, which would wait for its streams to end.
      expect(atEnd).toEqual(["destroy"])
    })
  )

  it.effect("plays a server to the client that comes", () =>
    Effect.gen(function* () {
      const heard: Array<Uint8Array> = []
      const played = yield* Player.playThrough(log, (tap) =>
        Effect.gen(function* () {
          const { client } = yield* WebSocket.makePair({}, { server: tap })
          const converse = Effect.gen(function* () {
            for (const said of ["one", "two"]) {
              yield* client.send(said)
              heard.push((yield* client.receive).bytes)
            }
            yield* client.close()
          })
          yield* Effect.forkScoped(converse)
        })
      )
      expect(heard).toEqual([utf8("one"), utf8("two")])
      expect(Player.compare(log, played)).toBe(undefined)
    })
  )
})
