/** The flags of permessage-deflate: what they make a server answer, a client offer, and whoever mistypes them read. */
import * as zlib from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run, server } from "../../support/command.ts"
import * as RawPeer from "../../support/RawPeer.ts"
import { encode } from "../../support/frames.ts"

const answer = (command: "echo" | "serve", flags: ReadonlyArray<string>, offer: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { port } = yield* server(command, ...flags)
      const peer = yield* RawPeer.connect(port)
      peer.send(RawPeer.upgradeRequest("/ws", { "Sec-WebSocket-Extensions": offer }))
      return (yield* peer.head).header("Sec-WebSocket-Extensions")
    })
  )

describe.concurrent("a server", () => {
  const everything = "permessage-deflate; client_max_window_bits"

  it.live.each([
    [[], everything, undefined],
    [["--deflate"], everything, "permessage-deflate"],
    [
      ["--deflate"],
      "permessage-deflate; bogus, permessage-deflate; server_max_window_bits=10",
      "permessage-deflate; server_max_window_bits=10"
    ],
    [["--deflate"], "x-other", undefined],
    [["--server-no-context-takeover"], everything, "permessage-deflate; server_no_context_takeover"],
    [["--client-no-context-takeover"], everything, "permessage-deflate; client_no_context_takeover"],
    [["--server-max-window-bits", "12"], everything, "permessage-deflate; server_max_window_bits=12"],
    [["--client-max-window-bits", "9"], everything, "permessage-deflate; client_max_window_bits=9"],
    [["--client-max-window-bits", "9"], "permessage-deflate", "permessage-deflate; client_no_context_takeover"],
    [["--deflate-threshold", "0"], everything, "permessage-deflate"]
  ] as const)("with %j answers %s with %s", ([flags, offer, expected]) =>
    Effect.gen(function* () {
      expect(yield* answer("echo", flags, offer)).toBe(expected)
      expect(yield* answer("serve", flags, offer)).toBe(expected)
    })
  )

  it.live("compresses from the threshold on", () =>
    Effect.gen(function* () {
      const { port } = yield* server("echo", "--deflate-threshold", "100")
      const peer = yield* RawPeer.open(port, "/", { "Sec-WebSocket-Extensions": "permessage-deflate" })
      for (const length of [99, 100]) {
        const payload = Buffer.alloc(length, "a")
        peer.send(encode({ fin: true, rsv: 0, opcode: 1, payload }, 0x01020304))
        const { payload: echoed, rsv } = yield* peer.frame
        expect(rsv).toBe(length === 100 ? 4 : 0)
        const inflated = rsv === 0 ? echoed : zlib.inflateRawSync(echoed, { finishFlush: zlib.constants.Z_SYNC_FLUSH })
        expect(Buffer.from(inflated).equals(payload)).toBe(true)
      }
    })
  )
})

describe.concurrent("a client", () => {
  it.live("says what was agreed on, and shows what comes", () =>
    Effect.gen(function* () {
      const { port } = yield* server("echo", "--deflate")
      const { code, stderr, stdout } = yield* run(
        ["connect", `ws://127.0.0.1:${port}/`, "--server-no-context-takeover", "--deflate-threshold", "0"],
        "hello hello hello\nhello\n"
      )
      expect([code, stdout]).toEqual([0, "hello hello hello\nhello\n"])
      expect(stderr).toContain("permessage-deflate; server_no_context_takeover; Ctrl-D ends it")
    })
  )

  it.live("goes on without where the server does not want it", () =>
    Effect.gen(function* () {
      const { port } = yield* server("echo")
      const { code, stderr } = yield* run(["connect", `ws://127.0.0.1:${port}/`, "--deflate"], "a\n")
      expect(code).toBe(0)
      expect(stderr).not.toContain("permessage-deflate")
    })
  )
})

describe.concurrent("a mistake", () => {
  it.live.each([
    [["echo", "--server-max-window-bits", "8"], "a number of bits from 9 to 15"],
    [["serve", "--client-max-window-bits", "16"], "a number of bits from 9 to 15"],
    [["connect", "ws://localhost/", "--deflate-threshold", "few"], "a size such as 0, 512 or 4KiB"]
  ] as const)("%j is told of", ([flags, sentence]) =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run(flags)
      expect(code).toBe(1)
      expect(stderr).toContain(sentence)
    })
  )
})
