/**
 * Servers that mean harm, against the command that people run: it ends with a sentence where there is no good in going
 * on, and takes no more memory than it would with an honest server.
 */
import type { ServerResponse } from "node:http"
import * as zlib from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as EventSource from "@millrace/core/connection/EventSource"
import * as Fetch from "@millrace/core/connection/Fetch"
import * as bare from "../support/bareServer.ts"
import { start } from "../support/command.ts"
import * as memory from "../support/memory.ts"
import * as RawPeer from "../support/RawPeer.ts"

const mebibyte = 1 << 20

/** What a garbage collector may need besides, on a busy machine: each attack, if it worked, would take twice as much. */
const slack = 128 * mebibyte

/** Writes that again and again, as fast as it is read, until so much is written or the client has gone. */
const flood = (response: ServerResponse, piece: string, total: number, end = "") => {
  const block = Buffer.from(piece.repeat(Math.ceil(65_536 / piece.length)))
  let sent = 0
  const send = () => {
    while (sent < total && !response.destroyed) {
      sent += block.length
      if (!response.write(block)) return void response.once("drain", send)
    }
    if (!response.destroyed) response.end(end)
  }
  send()
}

/** What the command says of a server, and that it has not taken more than that for it. */
const listening = (handle: bare.Handle, ...flags: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const server = yield* bare.listen((request, response) => {
      // From here on it has been started, and has what any client has.
      if (memory.isMeasured) memory.resetPeak(pid)
      before = memory.isMeasured ? memory.peak(pid) : 0
      handle(request, response)
    })
    let before = 0
    const command = yield* start("listen", server.url, "--no-reconnect", "--max-message", "1MiB", ...flags)
    const pid = command.process.pid!
    let taken = 0
    const watch = setInterval(() => {
      const peak = memory.isMeasured ? memory.peak(pid) : before
      // One that has ended takes nothing, and tells nothing.
      if (peak > 0) taken = Math.max(taken, peak - before)
    }, 20)
    const { code, stderr, stdout } = yield* Effect.ensuring(
      command.end,
      Effect.sync(() => clearInterval(watch))
    )
    assert.isBelow(taken, slack, `it took ${Math.round(taken / mebibyte)} MiB`)
    return { code, stdout, said: stderr.trimEnd().split("\n").at(-1) }
  })

describe("a server that sends", () => {
  it.live.each([
    ["a line without an end", "x", "event stream with a line of more than 1048576 bytes"],
    ["data without an end", "data: more\n", "event with more than 1048576 bytes of data"],
    ["empty data without an end", "data\n", "event with more than 1048576 bytes of data"]
  ] as const)("%s is left, with a sentence", ([, piece, sentence]) =>
    Effect.gen(function* () {
      const { code, said, stdout } = yield* listening((_, response) => {
        bare.stream(response, "data: before\n\n")
        flood(response, piece, 1_024 * mebibyte)
      })
      assert.deepStrictEqual([code, stdout, said], [1, "before\n", `millrace: ${sentence}`])
    })
  )

  it.live.each([
    ["comments", ":".repeat(99)],
    ["names and IDs of events that never come", "event: a\nid: 1\n"],
    ["empty lines", "\n"],
    ["times to wait", "retry: 1\n"]
  ] as const)("%s without an end costs no memory", ([, piece]) =>
    Effect.gen(function* () {
      const { code, stdout } = yield* listening((_, response) => {
        bare.stream(response)
        flood(response, `${piece}\n`, 192 * mebibyte, "data: at last\n\n")
      })
      assert.strictEqual(code, 0)
      assert.match(stdout, /at last\n$/)
    })
  )

  it.live("a refusal without an end is left when its beginning is there", () =>
    Effect.gen(function* () {
      const { code, said } = yield* listening((_, response) => {
        response.writeHead(200, { "Content-Type": "text/html" })
        flood(response, "no ", 1_024 * mebibyte)
      })
      assert.strictEqual(code, 1)
      assert.match(
        said ?? "",
        /^millrace: the server answered with status 200: its type is text\/html: no no .* \.\.\.$/
      )
    })
  )

  it.live("a time to wait of an age is waited for no longer than 5 minutes", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => {
        bare.stream(response, "retry: 99999999999999999999999999999999\n\n").end()
      })
      const command = yield* start("listen", server.url)
      yield* command.reports(/the server has ended the response; trying again in 30[01] s\n/)
    })
  )
})

it.live("a server whose head has no end is left", () =>
  Effect.gen(function* () {
    const { accept, port } = yield* RawPeer.listen
    const command = yield* start("listen", `http://127.0.0.1:${port}/`, "--no-reconnect")
    const peer = yield* accept
    yield* peer.head
    peer.send(`HTTP/1.1 200 OK\r\n${"X-Header: more\r\n".repeat(100_000)}`)
    const { code, stderr } = yield* command.end
    assert.strictEqual(code, 1)
    assert.match(stderr, /^millrace: cannot connect to .*\n$/)
  })
)

it.live("a gibibyte in a mebibyte of gzip, which fetch undoes, is left when a line is too long", () =>
  Effect.gen(function* () {
    const part = zlib.gzipSync(Buffer.alloc(64 * mebibyte, "x"))
    const bomb = Buffer.concat(Array<Buffer>(16).fill(part))
    const server = yield* bare.listen((_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream", "Content-Encoding": "gzip" }).end(bomb)
    })
    const before = process.memoryUsage().rss
    const events = EventSource.stream(server.url, { fetch: Fetch.fromWeb(globalThis.fetch) })
    const error = yield* Effect.flip(Stream.runDrain(events))
    assert.strictEqual(error.message, "event stream with a line of more than 1048576 bytes")
    assert.isBelow(process.memoryUsage().rss - before, slack)
  })
)
