/** What is recorded of a connection, and that the connection does not notice. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as Extension from "@millrace/core/connection/Extension"
import * as Recorder from "@millrace/core/connection/Recorder"
import type { Facts } from "@millrace/core/connection/Tap"
import type { Receiver, Transport } from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import { TransportError } from "@millrace/core/connection/WebSocketError"
import type * as Recording from "@millrace/core/protocol/Recording"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import { turn, world } from "../../support/connection.ts"
import * as frames from "../../support/frames.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { cut, hex, utf8 } from "../../support/wire.ts"

const factsOf = (role: Facts["role"], more: Partial<Facts> = {}): Facts => ({
  role,
  url: undefined,
  subprotocol: undefined,
  extensions: Extension.none,
  ...more
})

const atEndOfTurn = () => {}

const silent: Receiver = { data: () => {}, drained: () => {}, ended: () => {} }

/** A transport that is recorded, opened, with the test as its far end. */
const recorded = (role: Facts["role"], options?: Recorder.Options, more?: Partial<Facts>) =>
  Effect.gen(function* () {
    const far = new TestTransport()
    const recorder = yield* Recorder.make(options)
    const near = recorder.tap(far, factsOf(role, more))
    near.open(silent)
    const lines = () => recorder.recording?.entries.map((entry) => RecordingText.printLine(entry)) ?? []
    return { far, near, recorder, lines }
  })

/** What the far end sends, as hex, gives these lines. */
const pushed = Effect.fnUntraced(function* (
  role: Facts["role"],
  chunks: ReadonlyArray<string>,
  options?: Recorder.Options,
  more?: Partial<Facts>
) {
  const { far, lines } = yield* recorded(role, options, more)
  for (const chunk of chunks) far.push(chunk)
  return lines()
})

describe("a recording", () => {
  it.effect("has the frames of both sides, unmasked, with the time since the start", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_790_000_000_000)
      const { far, near, recorder } = yield* recorded("client", {}, { url: "ws://h/", subprotocol: "chat" })
      // RFC 6455 section 5.7: "Hello" of a client, and of a server in two fragments.
      near.write(hex("81 85 37 fa 21 3d 7f 9f 4d 51 58"))
      yield* TestClock.adjust("1.5 seconds")
      far.push("01 03 48 65 6c 80 02 6c 6f")
      yield* TestClock.adjust("1 second")
      near.writeAll([hex("88 82 00 00 00 00 03 e8"), hex("8a 80 00 00 00 00")])
      far.push("88 02 03 e8")
      near.end()
      far.hangUp()
      expect(RecordingText.print(yield* recorder.ended).split("\n")).toEqual([
        '{"format":"millrace-recording","version":1,"role":"client","url":"ws://h/","subprotocol":"chat","start":1790000000000}',
        '{"t":0,"from":"client","op":"text","fin":true,"rsv":0,"text":"Hello","length":5}',
        '{"t":1500,"from":"server","op":"text","fin":false,"rsv":0,"text":"Hel","length":3}',
        '{"t":1500,"from":"server","op":"continuation","fin":true,"rsv":0,"text":"lo","length":2}',
        '{"t":2500,"from":"client","op":"close","fin":true,"rsv":0,"code":1000,"length":2}',
        '{"t":2500,"from":"client","op":"pong","fin":true,"rsv":0,"text":"","length":0}',
        '{"t":2500,"from":"server","op":"close","fin":true,"rsv":0,"code":1000,"length":2}',
        '{"t":2500,"from":"client","ended":"orderly"}',
        '{"t":2500,"end":"closed"}',
        ""
      ])
    })
  )

  it.effect("has a compressed message as it was on the wire, and what was agreed on", () =>
    Effect.gen(function* () {
      // RFC 7692 section 7.2.3.1.
      const extensions = {
        ...Extension.none,
        rsv: 4,
        response: [{ name: "permessage-deflate", params: [["client_max_window_bits", "10"] as const] }]
      }
      const { far, lines, recorder } = yield* recorded("client", {}, { extensions })
      far.push("c1 07 f2 48 cd c9 c9 07 00")
      expect(lines()).toEqual([
        '{"t":0,"from":"server","op":"text","fin":true,"rsv":4,"base64":"8kjNyckHAA==","length":7}'
      ])
      expect(recorder.recording?.header.extensions).toBe("permessage-deflate; client_max_window_bits=10")
    })
  )

  it.effect("has what is no frame as it was: what broke the rule, and all that came behind", () =>
    Effect.gen(function* () {
      const lines = yield* pushed("server", ["81 81 01 02 03 04 60 83", "81 01 02 03 04 aa", "ff"])
      expect(lines).toEqual([
        '{"t":0,"from":"client","op":"text","fin":true,"rsv":0,"text":"a","length":1}',
        '{"t":0,"from":"client","raw":"g4EBAgMEqg==","length":7,"violation":"reserved opcode (RFC 6455 5.2)"}',
        '{"t":0,"from":"client","raw":"/w==","length":1}'
      ])
    })
  )

  it.effect("has a frame that is masked and must not be, or is coded by what was not agreed on, as no frame", () =>
    Effect.gen(function* () {
      expect(yield* pushed("client", ["81 81 01 02 03 04 60"])).toEqual([
        '{"t":0,"from":"server","raw":"gYEBAgMEYA==","length":7,"violation":"masked frame from a server (RFC 6455 5.1)"}'
      ])
      expect(yield* pushed("client", ["c1 01 00"])).toEqual([
        '{"t":0,"from":"server","raw":"wQEA","length":3,"violation":"reserved bit set (RFC 6455 5.2)"}'
      ])
    })
  )

  it.effect("says how much of a frame never came, and has the start of one whose header never did", () =>
    Effect.gen(function* () {
      const { far, lines, near } = yield* recorded("client")
      far.push("82 05 01 02")
      near.write(hex("89 84 01 02 03 04 60"))
      near.destroy()
      expect(lines()).toEqual([
        '{"t":0,"from":"client","raw":"iYQBAgMEYA==","length":7}',
        '{"t":0,"from":"client","ended":"abruptly"}',
        '{"t":0,"from":"server","op":"binary","fin":true,"rsv":0,"base64":"AQI=","length":5,"torn":3}',
        '{"t":0,"end":"closed"}'
      ])
    })
  )

  it.effect("says how the network failed", () =>
    Effect.gen(function* () {
      const { far, recorder } = yield* recorded("server")
      far.hangUp(new TransportError({ cause: new Error("read ECONNRESET") }))
      expect((yield* recorder.ended).entries).toEqual([{ _tag: "End", t: 0, error: "read ECONNRESET" }])
    })
  )

  it.effect("has what a peer said before it ended, and that it did", () =>
    Effect.gen(function* () {
      const ended: Array<string> = []
      const recorder = yield* Recorder.make()
      let receiver: Receiver | undefined
      const far: Transport = Object.assign(new TestTransport(), {
        open: (given: Receiver) => {
          receiver = given
        }
      })
      recorder.tap(far, factsOf("server")).open({ ...silent, peerEnded: () => ended.push("peer") })
      receiver?.data(hex("82 82 00"))
      receiver?.peerEnded?.()
      expect(ended).toEqual(["peer"])
      expect(recorder.recording?.entries).toEqual([
        { _tag: "Raw", t: 0, from: "client", bytes: hex("82 82 00"), cut: 0, violation: undefined },
        { _tag: "Ended", t: 0, from: "client", abruptly: false }
      ])
    })
  )

  it.effect("has nothing that is written behind the end, and nothing behind the end of the transport", () =>
    Effect.gen(function* () {
      const { far, lines, near } = yield* recorded("server")
      near.end()
      near.write(hex("81 00"))
      near.destroy()
      near.destroy()
      expect(far.log).toEqual(["end", "write 81 00", "destroy", "destroy"])
      expect(lines()).toEqual(['{"t":0,"from":"server","ended":"orderly"}', '{"t":0,"end":"closed"}'])
    })
  )

  it.effect("is of the first connection, and others pass it by", () =>
    Effect.gen(function* () {
      const recorder = yield* Recorder.make()
      expect(recorder.recording).toBe(undefined)
      const [first, second] = [new TestTransport(), new TestTransport()]
      expect(recorder.tap(first, factsOf("server"))).not.toBe(first)
      expect(recorder.tap(second, factsOf("server"))).toBe(second)
    })
  )
})

describe("the bounds", () => {
  const hello = "81 05 48 65 6c 6c 6f"

  it.effect("cut a payload, but not that of a control frame, and say by how much", () =>
    Effect.gen(function* () {
      const lines = yield* pushed("client", [hello, "89 03 61 62 63", "82 05 01 02", "03 04 05"], {
        maxPayloadBytes: 2
      })
      expect(lines).toEqual([
        '{"t":0,"from":"server","op":"text","fin":true,"rsv":0,"text":"He","length":5,"cut":3}',
        '{"t":0,"from":"server","op":"ping","fin":true,"rsv":0,"text":"abc","length":3}',
        '{"t":0,"from":"server","op":"binary","fin":true,"rsv":0,"base64":"AQI=","length":5,"cut":3}'
      ])
    })
  )

  it.effect("cut what is no frame, read by read", () =>
    Effect.gen(function* () {
      const lines = yield* pushed("client", ["83 01 02", "03 04 05 06"], { maxPayloadBytes: 2 })
      expect(lines).toEqual([
        '{"t":0,"from":"server","raw":"gwE=","length":3,"violation":"reserved opcode (RFC 6455 5.2)","cut":1}',
        '{"t":0,"from":"server","raw":"AwQ=","length":4,"cut":2}'
      ])
    })
  )

  it.effect("tell what was cut from what never came", () =>
    Effect.gen(function* () {
      const { far, lines } = yield* recorded("client", { maxPayloadBytes: 1 })
      far.push("82 05 01 02")
      far.hangUp()
      expect(lines()[0]).toBe(
        '{"t":0,"from":"server","op":"binary","fin":true,"rsv":0,"base64":"AQ==","length":5,"cut":1,"torn":3}'
      )
    })
  )

  it.effect.each([
    ["entries", { maxEntries: 2 }],
    ["bytes", { maxBytes: 11 }]
  ] as const)("leave out all that comes behind so many %s, and say how much that was", ([, options]) =>
    Effect.gen(function* () {
      const { far, near, recorder } = yield* recorded("client", options)
      far.push(hello)
      far.push(hello)
      far.push(hello)
      expect(recorder.recording?.entries.at(-1)).toEqual({ _tag: "Omitted", t: 0, bytes: 7 })
      near.write(hex("81 80 00 00 00 00"))
      near.end()
      far.hangUp()
      const { entries } = yield* recorder.ended
      expect(entries.map(({ _tag }) => _tag)).toEqual(["Frame", "Frame", "Omitted", "End"])
      expect(entries.at(2)).toEqual({ _tag: "Omitted", t: 0, bytes: 13 })
      expect(recorder.recording?.entries).toEqual(entries)
    })
  )

  it.effect("hold no more of a frame that goes on than a payload may have", () =>
    Effect.gen(function* () {
      const { far, lines } = yield* recorded("client", { maxPayloadBytes: 4 })
      // A frame of a terabyte.
      far.push("82 7f 00 00 01 00 00 00 00 00")
      for (let i = 0; i < 1_000; i++) far.push(new Uint8Array(65_536))
      far.hangUp()
      const [line = ""] = lines()
      expect(JSON.parse(line)).toMatchObject({ base64: "AAAAAA==", cut: 65_536_000 - 4, torn: 2 ** 40 - 65_536_000 })
    })
  )
})

describe("a sink", () => {
  it.effect("is given each line as it comes, for each connection by itself", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const tap = yield* Recorder.each(
        ({ url }) =>
          (line) =>
            seen.push(`${url} ${line._tag}`)
      )
      const far = new TestTransport()
      const near = tap(far, factsOf("server", { url: "/a" }))
      near.open(silent)
      tap(new TestTransport(), factsOf("server", { url: "/b" }))
      expect(seen).toEqual(["/a Header", "/b Header"])
      near.write(hex("81 00"))
      expect(seen.at(-1)).toBe("/a Frame")
      far.hangUp()
      expect(seen.slice(3)).toEqual(["/a End"])
    })
  )

  it.effect("that throws is told nothing more, and its connection goes on", () =>
    Effect.gen(function* () {
      let calls = 0
      const tap = yield* Recorder.each(() => (line) => {
        calls++
        if (line._tag === "Frame") throw new Error("disk full")
      })
      const { client, server } = yield* WebSocket.makePair({}, { client: tap })
      yield* client.send("one")
      expect((yield* server.receive).length).toBe(3)
      yield* server.send("two")
      expect((yield* client.receive).length).toBe(3)
      expect(calls).toBe(2)
    })
  )

  it.effect("that cannot be made leaves the connection alone", () =>
    Effect.gen(function* () {
      const tap = yield* Recorder.each(() => {
        throw new Error("no such folder")
      })
      const far = new TestTransport()
      expect(tap(far, factsOf("client"))).toBe(far)
    })
  )
})

describe("the connection beneath", () => {
  it.effect("is given the very same bytes, and gives them, in the same calls", () =>
    Effect.gen(function* () {
      const { far } = yield* recorded("client")
      const recorder = yield* Recorder.make()
      const near = recorder.tap(far, factsOf("client"))
      const given: Array<unknown> = []
      near.open({
        data: (chunk) => given.push(chunk),
        drained: () => given.push("drained"),
        ended: (error) => given.push(error)
      })
      const [one, two, three] = [hex("81 80 01 02 03 04"), hex("81 81 01 02 03 04 60"), hex("ff")]
      near.write(one)
      near.writeAll([two, three])
      expect(far.writes.map((chunks) => [...chunks])).toEqual([[one], [two, three]])
      expect(far.writes[0]![0]).toBe(one)
      expect(far.writes[1]![0]).toBe(two)
      // Not unmasked by who looks at them.
      expect(two).toEqual(hex("81 81 01 02 03 04 60"))
      near.pause()
      far.push("81 00")
      expect(given).toEqual([])
      near.resume()
      expect(given).toEqual([hex("81 00")])
      far.stall()
      near.write(hex("81 80 01 02 03 04"))
      expect(near.writableLength).toBe(6)
      far.drain()
      expect(given.at(-1)).toBe("drained")
      const error = new TransportError({ cause: "gone" })
      far.hangUp(error)
      expect(given.at(-1)).toBe(error)
      expect(far.log).toEqual([
        "write 81 80 01 02 03 04",
        "write 81 81 01 02 03 04 60 ff",
        "pause",
        "resume",
        "write 81 80 01 02 03 04"
      ])
    })
  )

  it.effect("may write into what it is given, as a server does that unmasks, before the recording is read", () =>
    Effect.gen(function* () {
      const recorder = yield* Recorder.make()
      const far = new TestTransport()
      recorder.tap(far, factsOf("server")).open({ ...silent, data: (chunk) => chunk.fill(0) })
      far.push("81 81 01 02 03 04 60")
      expect(recorder.recording?.entries).toMatchObject([{ payload: utf8("a") }])
    })
  )

  it("ends its turns as its transport does, and is told that the peer has ended only if it wants to be", () =>
    world(
      Effect.gen(function* () {
        const receivers: Array<Receiver> = []
        const transport = () =>
          Object.assign(new TestTransport(), {
            atEndOfTurn,
            open: (receiver: Receiver) => {
              receivers.push(receiver)
            }
          })
        const tap = yield* Recorder.each(() => () => {})
        const near = tap(transport(), factsOf("client"))
        expect(near.atEndOfTurn).toBe(atEndOfTurn)
        near.open(silent)
        tap(transport(), factsOf("client")).open({ ...silent, peerEnded: () => {} })
        expect(receivers.map((receiver) => "peerEnded" in receiver)).toEqual([false, true])
      })
    ))
})

/** Whole, as the reader of the tests sees it. */
const seen = (entries: ReadonlyArray<Recording.Entry>) =>
  entries.map((entry) => {
    if (entry._tag !== "Frame") return entry
    const { fin, from, opcode, payload, rsv } = entry
    return { from, fin, rsv, opcode, payload }
  })

const collect = (connection: WebSocket.WebSocket) =>
  Effect.exit(Stream.runCollect(Stream.map(connection.messages, (m) => [m._tag, m.bytes] as const)))

describe("properties", () => {
  it.each(["client", "server"] as const)("each frame of a %s is there once and in order, however it is cut", (from) =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(frames.any, frames.key), { maxLength: 12 }),
        frames.positions,
        fc.boolean(),
        (sent, at, isOurs) =>
          world(
            Effect.gen(function* () {
              const role = isOurs ? from : from === "client" ? "server" : "client"
              const { far, near, recorder } = yield* recorded(role, { maxPayloadBytes: Infinity })
              const masked = from === "client"
              const wire = frames.concat(sent.map(([frame, key]) => frames.encode(frame, masked ? key : undefined)))
              for (const chunk of cut(wire, at)) {
                if (isOurs) near.write(chunk)
                else far.push(chunk)
              }
              expect(seen(recorder.recording!.entries)).toEqual(sent.map(([frame]) => ({ from, ...frame })))
              if (isOurs) expect(far.sent).toEqual(wire)
            })
          )
      ),
      { numRuns: 60 }
    )
  )

  it("no byte is lost, whatever comes and however it is cut: what was recorded, cut, torn and omitted is all there was", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            frames.any.map((frame) => frames.encode(frame)),
            fc.uint8Array({ maxLength: 40 })
          ),
          { maxLength: 10 }
        ),
        frames.positions,
        fc.record({
          maxPayloadBytes: fc.nat({ max: 200 }),
          maxEntries: fc.nat({ max: 12 }),
          maxBytes: fc.nat({ max: 2_000 })
        }),
        (pieces, at, options) =>
          world(
            Effect.gen(function* () {
              const wire = frames.concat(pieces)
              const { far, recorder } = yield* recorded("client", options)
              for (const chunk of cut(wire, at)) far.push(chunk)
              far.hangUp()
              const { entries } = yield* recorder.ended
              let length = 0
              let kept = 0
              for (const entry of entries) {
                if (entry._tag === "Omitted") length += entry.bytes
                if (entry._tag === "Raw") length += entry.bytes.length + entry.cut
                if (entry._tag === "Raw") kept += entry.bytes.length
                if (entry._tag !== "Frame") continue
                const announced = entry.payload.length + entry.cut + entry.torn
                length += frames.header(entry, announced).length + entry.payload.length + entry.cut
                kept += entry.payload.length
                expect(entry.payload.length).toBeLessThanOrEqual(Math.max(options.maxPayloadBytes, 125))
              }
              expect(length).toBe(wire.length)
              expect(kept).toBeLessThanOrEqual(options.maxBytes)
              expect(entries.filter(({ _tag }) => _tag === "Frame" || _tag === "Raw").length).toBeLessThanOrEqual(
                options.maxEntries
              )
            })
          )
      ),
      { numRuns: 200 }
    ))

  it("a connection that is recorded says and hears the same as one that is not", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(
            fc.boolean(),
            fc.oneof(fc.string({ unit: "grapheme" }), fc.uint8Array({ maxLength: 300 })),
            fc.boolean()
          ),
          { maxLength: 20 }
        ),
        (said) =>
          world(
            Effect.gen(function* () {
              const recorders = { client: yield* Recorder.make(), server: yield* Recorder.make() }
              const pairs = [
                yield* WebSocket.makePair({}, { client: recorders.client.tap, server: recorders.server.tap }),
                yield* WebSocket.makePair()
              ]
              const heard: Array<unknown> = []
              for (const { client, server } of pairs) {
                for (const [isClient, message, waits] of said) {
                  yield* (isClient ? client : server).send(message)
                  if (waits) yield* turn
                }
                yield* Effect.forkScoped(client.close(4_000, "done"))
                heard.push(yield* Effect.all([collect(client), collect(server), client.closed, server.closed]))
              }
              expect(heard[0]).toEqual(heard[1])
              const [atClient, atServer] = [yield* recorders.client.ended, yield* recorders.server.ended]
              for (const from of ["client", "server"] as const) {
                const [a, b] = [atClient, atServer].map(({ entries }) =>
                  seen(entries).filter((entry) => "opcode" in entry && entry.from === from)
                )
                expect(a).toEqual(b)
              }
              expect(atClient.entries.at(-1)).toEqual({ _tag: "End", t: 0, error: undefined })
            })
          )
      ),
      { numRuns: 30 }
    ))
})

it.effect("goes by a clock that only goes forward", () =>
  Effect.gen(function* () {
    let [nanos, millis] = [5_000_000_000n, 1_000]
    const clock: Clock.Clock = Object.assign(Object.create(yield* Clock.Clock) as Clock.Clock, {
      monotonicTimeNanosUnsafe: () => nanos,
      currentTimeMillisUnsafe: () => millis
    })
    const { far, recorder } = yield* Effect.provideService(recorded("client"), Clock.Clock, clock)
    ;[nanos, millis] = [nanos + 1_234_567n, 10]
    far.push("81 00")
    expect(recorder.recording?.header.start).toBe(1_000)
    expect(recorder.recording?.entries).toMatchObject([{ t: 1.235 }])
  })
)
