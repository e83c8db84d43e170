/** What is played of the bytes of a recording, and through a transport. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Extension from "@millrace/core/connection/Extension"
import * as Player from "@millrace/core/connection/Player"
import type { Tap } from "@millrace/core/connection/Tap"
import * as Transport from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import type * as Recording from "@millrace/core/protocol/Recording"
import { over, start, turn } from "../../support/connection.ts"
import * as frames from "../../support/frames.ts"
import { end, frame, header, of, text } from "../../support/recordings.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { hex, utf8 } from "../../support/wire.ts"
import { answered, closed, echo, log, servedBytes, shown } from "../../support/played.ts"

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
