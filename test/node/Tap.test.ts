/** Taps of clients and servers on Node.js: whatever carries the connection, and with everything it has agreed on. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Deflate from "@millrace/core/connection/Deflate"
import * as Inflation from "@millrace/core/connection/Inflation"
import * as Recorder from "@millrace/core/connection/Recorder"
import * as Transcript from "@millrace/core/protocol/Transcript"
import * as Message from "@millrace/core/protocol/Message"
import type * as Recording from "@millrace/core/protocol/Recording"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"

const shown = (recording: Recording.Recording) =>
  Transcript.read(recording).map((said) => `${said.from}: ${Transcript.show(said)}`)

const hows = ({ entries }: Recording.Recording) =>
  entries.flatMap((entry) => (entry._tag === "Frame" ? [] : [RecordingText.printLine({ ...entry, t: 0 })]))

/** What an echo and its client each have recorded of a conversation. */
const converse = (options: Pick<NodeWebSocket.Options, "extensions" | "http2">, path: string) =>
  Effect.gen(function* () {
    const [atClient, atServer] = [yield* Recorder.make(), yield* Recorder.make()]
    const { url } = yield* NodeWebSocketServer.serve(
      { subprotocols: ["echo"], http2: true, extensions: options.extensions, tap: atServer.tap },
      (connection) => Stream.runForEach(connection.messages, connection.send)
    )
    const say = Effect.gen(function* () {
      const connection = yield* NodeWebSocket.open(`${url}${path}`, {
        ...options,
        subprotocols: ["echo"],
        tap: atClient.tap
      })
      yield* connection.send("hello, hello, hello")
      yield* connection.send(Message.compressed("hello, hello, hello"))
      yield* connection.send(Uint8Array.of(1, 2))
      yield* Stream.runDrain(Stream.take(connection.messages, 3))
      yield* connection.close(1000, "bye")
    })
    yield* Effect.scoped(say)
    return { url, client: yield* atClient.ended, server: yield* atServer.ended }
  })

const conversation = [
  'client: text of 19 bytes: "hello, hello, hello"',
  'client: text of 19 bytes: "hello, hello, hello"',
  "client: binary of 2 bytes: 01 02",
  'server: text of 19 bytes: "hello, hello, hello"',
  'server: text of 19 bytes: "hello, hello, hello"',
  "server: binary of 2 bytes: 01 02",
  'client: Close 1000 "bye"',
  'server: Close 1000 "bye"'
]

describe.each([
  ["HTTP/1.1", false],
  ["HTTP/2", true]
] as const)("over %s", (_, http2) => {
  const options = http2 ? { http2 } : {}

  it.live("both ends record the same conversation, what was agreed on, and how it ended", () =>
    Effect.gen(function* () {
      const { client, server, url } = yield* converse(options, "/rooms?name=weir")
      expect(client.header).toMatchObject({ role: "client", url: `${url}/rooms?name=weir`, subprotocol: "echo" })
      expect(server.header).toMatchObject({ role: "server", url: "/rooms?name=weir", subprotocol: "echo" })
      expect(shown(client).toSorted()).toEqual(conversation.toSorted())
      expect(shown(server).toSorted()).toEqual(conversation.toSorted())
      expect(hows(server)).toContain('{"t":0,"from":"server","ended":"orderly"}')
      expect(hows(client).at(-1)).toBe('{"t":0,"end":"closed"}')
      expect(hows(server).at(-1)).toBe('{"t":0,"end":"closed"}')
    })
  )

  it.live("what was compressed is recorded compressed, and is what it was when it is inflated", () =>
    Effect.gen(function* () {
      const { client, server } = yield* converse({ ...options, extensions: [NodeDeflate.compression()] }, "/")
      for (const recording of [client, server]) {
        expect(recording.header.extensions).toMatch(/^permessage-deflate/)
        expect(shown(recording)).toContainEqual(expect.stringMatching(/^client: coded text of \d+ bytes: /))
        const inflated = yield* Inflation.inflate(recording)
        expect(shown(inflated).toSorted()).toEqual(conversation.toSorted())
      }
    }).pipe(Effect.provideService(Deflate.Deflate, NodeDeflate.make()))
  )
})
