/** Recordings that are played to servers and clients over loopback. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Deflate from "@millrace/core/connection/Deflate"
import * as Inflation from "@millrace/core/connection/Inflation"
import * as Player from "@millrace/core/connection/Player"
import * as Recorder from "@millrace/core/connection/Recorder"
import type { Tap } from "@millrace/core/connection/Tap"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as Transcript from "@millrace/core/protocol/Transcript"
import * as Message from "@millrace/core/protocol/Message"
import type * as Recording from "@millrace/core/protocol/Recording"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually } from "../support/eventually.ts"
import * as RawPeer from "../support/RawPeer.ts"
import { counting } from "../support/frames.ts"

const compression = NodeDeflate.compression({ threshold: 0 })

const shown = (recording: Recording.Recording) =>
  Transcript.read(recording).map((said) => `${said.from}: ${Transcript.show(said)}`)

const echo = (connection: WebSocket) => Stream.runForEach(connection.messages, connection.send)

/** An echo that is recorded, over either protocol. */
const serve = (tap: Tap) =>
  NodeWebSocketServer.serve({ http2: true, tap }, (connection) => Effect.ignore(echo(connection)))

/** What goes over a connection from a client that says this, printed and read again. */
const record = (url: string, options: NodeWebSocket.Options, said: ReadonlyArray<Message.Sendable>) =>
  Effect.gen(function* () {
    const recorder = yield* Recorder.make()
    const say = Effect.gen(function* () {
      const connection = yield* NodeWebSocket.open(url, { ...options, tap: recorder.tap })
      for (const message of said) {
        yield* connection.send(message)
        yield* connection.receive
      }
    })
    yield* Effect.scoped(say)
    const recording = yield* recorder.ended
    return yield* Effect.fromResult(RecordingText.parse(RecordingText.print(recording)))
  })

const said = ["one ".repeat(100), "one ".repeat(101), counting(2_000), "last"]

describe.each([
  ["HTTP/1.1", false],
  ["HTTP/2", true]
] as const)("over %s", (_, http2) => {
  it.live("a compressed conversation is played frame by frame, and there is no difference", () =>
    Effect.gen(function* () {
      const options = { extensions: [compression], http2 }
      const { connections, url } = yield* NodeWebSocketServer.serve({ ...options, http2: true }, echo)
      const recording = yield* record(url, options, said)
      expect(shown(recording).filter((line) => line.includes("coded")).length).toBeGreaterThanOrEqual(4)
      const played = yield* Player.playThrough(recording, (tap) => NodeWebSocket.open(url, { ...options, tap }))
      expect(Player.compare(recording, played)).toBe(undefined)
      expect(Player.compare(recording, played, { from: "client" })).toBe(undefined)
      expect(Player.compare(yield* Inflation.inflate(recording), yield* Inflation.inflate(played))).toBe(undefined)
      yield* eventually(() => connections() === 0)
    }).pipe(Effect.provideService(Deflate.Deflate, NodeDeflate.make()))
  )

  it.live("it is played message by message where nothing is compressed, once it is inflated", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeWebSocketServer.serve({ extensions: [compression], http2: true }, echo)
      const recording = yield* Inflation.inflate(yield* record(url, { extensions: [compression], http2 }, said))
      const plain = yield* NodeWebSocket.open(url, { http2 })
      const played = yield* Player.play(recording, plain)
      expect(plain.extensions).toEqual([])
      expect(Player.compare(recording, played)).toBe(undefined)
    }).pipe(Effect.provideService(Deflate.Deflate, NodeDeflate.make()))
  )

  it.live("it is not played where something else is agreed on", () =>
    Effect.gen(function* () {
      const { connections, url } = yield* NodeWebSocketServer.serve({ extensions: [compression], http2: true }, echo)
      const recording = yield* record(url, { extensions: [compression], http2 }, said)
      const playing = Player.playThrough(recording, (tap) => NodeWebSocket.open(url, { http2, tap }))
      expect(yield* Effect.flip(playing)).toMatchObject({ _tag: "Unplayable", entry: 0 })
      yield* eventually(() => connections() === 0)
    })
  )

  it.live("a client that breaks a rule is recorded by the server, and played again to the same end", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* Recorder.make(), yield* Recorder.make()]
      const { port } = yield* serve(first.tap)
      const bad = yield* RawPeer.connect(port)
      bad.send(RawPeer.upgradeRequest("/"))
      yield* bad.head
      bad.sendFrame(1, "hello")
      yield* bad.frame
      // A Ping in two fragments.
      bad.send(Uint8Array.of(0x09, 0x80, 0, 0, 0, 0, 1, 2, 3))
      const recording = yield* first.ended
      expect(shown(recording)).toEqual([
        'client: text of 5 bytes: "hello"',
        'server: text of 5 bytes: "hello"',
        "client: Raw of 9 bytes: 09 80 00 00 00 00 01 02 03",
        'server: Close 1002 "fragmented control frame"'
      ])
      const { url } = yield* serve(second.tap)
      const played = yield* Player.playThrough(recording, (tap) => NodeWebSocket.open(url, { http2, tap }))
      expect(Player.compare(recording, played)).toBe(undefined)
      expect(Transcript.compare(recording, yield* second.ended, { from: "client" })).toBe(undefined)
    })
  )

  it.live("a client that goes away within a frame is played again to the same end", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* Recorder.make(), yield* Recorder.make()]
      const { port } = yield* serve(first.tap)
      const peer = yield* RawPeer.connect(port)
      peer.send(RawPeer.upgradeRequest("/"))
      yield* peer.head
      peer.send(Uint8Array.of(0x82, 0x85, 0, 0, 0, 0, 1, 2))
      peer.socket.end()
      const recording = yield* first.ended
      const torn = { from: "client", payload: Uint8Array.of(1, 2), torn: 3, cut: 0 }
      expect(recording.entries[0]).toMatchObject(torn)
      expect(recording.entries[1]).toMatchObject({ _tag: "Ended", from: "client" })
      const { url } = yield* serve(second.tap)
      const played = yield* Player.playThrough(recording, (tap) => NodeWebSocket.open(url, { http2, tap }))
      expect(Player.compare(recording, played)).toBe(undefined)
      expect((yield* second.ended).entries[0]).toMatchObject(torn)
    })
  )
})

it.live("a server is played to a client", () =>
  Effect.gen(function* () {
    const { url } = yield* NodeWebSocketServer.serve({}, echo)
    const recording = yield* record(url, {}, said)
    const answers: Array<number> = []
    const played = yield* Player.playThrough(recording, (tap) =>
      Effect.gen(function* () {
        const { url } = yield* NodeWebSocketServer.serve({ tap }, (connection) => connection.closed)
        const client = Effect.gen(function* () {
          const connection = yield* NodeWebSocket.open(url)
          for (const message of said) {
            yield* connection.send(message)
            answers.push((yield* connection.receive).length)
          }
        })
        yield* Effect.forkScoped(Effect.scoped(client))
      })
    )
    expect(answers).toEqual([400, 404, 2_000, 4])
    expect(played.header.role).toBe("server")
    expect(Player.compare(recording, played)).toBe(undefined)
  })
)
