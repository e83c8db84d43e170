/** `--frames` and `--record` of `millrace connect`, as a person and a pipe see them. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { stripVTControlCharacters } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import * as Transcript from "@millrace/core/protocol/Transcript"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { Command, run, server, shared, start } from "../../support/command.ts"
import { folder } from "../../support/folder.ts"
import { encode, frame } from "../../support/frames.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"
import * as RawPeer from "../../support/RawPeer.ts"

const echo = shared(server("echo", "--deflate"))

const urlOf = ({ port }: { readonly port: number }) => `ws://127.0.0.1:${port}/`

/** Times and what the command says by itself taken away. */
const framesOf = (stderr: string) =>
  stderr
    .split("\n")
    .filter((line) => /^[→←] /.test(line))
    .map((line) => line.replace(/ +\d+\.\d{4} /, " "))
    .slice(1)

const opening = (key: string | undefined) => {
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
}

const parse = (path: string) => Effect.fromResult(RecordingText.parse(readFileSync(path, "utf8")))

describe.concurrent("--frames", () => {
  it.live("shows them on standard error, and leaves standard output to the messages", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* run(["connect", urlOf(echo()), "--frames"], "hello\n\u00e9\n")
      expect([code, stdout]).toEqual([0, "hello\n\u00e9\n"])
      expect(framesOf(stderr).toSorted()).toEqual(
        [
          "→  text    fin        5 B  hello",
          "→  text    fin        2 B  \u00e9",
          "←  text    fin        5 B  hello",
          "←  text    fin        2 B  \u00e9",
          "→  close   fin        2 B  1000 (normal)",
          "←  close   fin        2 B  1000 (normal)",
          "←  end",
          "→  end"
        ].toSorted()
      )
      expect(stderr).not.toContain("\u001b")
    })
  )

  it.live("shows binary ones in hexadecimal, and compressed ones inflated", () =>
    Effect.gen(function* () {
      const flags = ["--frames", "--binary", "--deflate-threshold", "0"]
      const { stderr } = yield* run(["connect", urlOf(echo()), ...flags], `${"a".repeat(300)}\n`)
      const [sent, ...rest] = framesOf(stderr)
      expect(sent).toMatch(/^→ {2}binary {2}fin rsv1 +\d B {2}\(inflated: 300 B\) 61 61 [61 ]+…$/)
      expect(rest).toContain(sent?.replace("→", "←"))
    })
  )

  it.live("shows the code and the reason with which a server closes", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeWebSocketServer.serve({}, (connection) => connection.close(4001, "go away"))
      const command = yield* start("connect", url, "--frames")
      const { code, stderr } = yield* command.end
      expect(code).toBe(1)
      expect(framesOf(stderr)[0]).toBe("←  close   fin        9 B  4001 go away")
    })
  )

  it.live("shows what is no frame, and which rule it breaks", () =>
    Effect.gen(function* () {
      const { accept, port } = yield* RawPeer.listen
      const command = yield* start("connect", urlOf({ port }), "--frames")
      const peer = yield* accept
      peer.send(opening((yield* peer.head).header("Sec-WebSocket-Key")))
      peer.send(encode(frame(1, Buffer.from("fine"))))
      peer.sendFrame(1, "masked")
      peer.socket.end()
      const { code, stderr } = yield* command.end
      expect(code).toBe(1)
      expect(framesOf(stderr).slice(0, 3)).toEqual([
        "←  text    fin        4 B  fine",
        expect.stringMatching(/^← {2}raw +12 B {2}\(masked frame from a server \(RFC 6455 5\.1\)\) 81 86 01 02 /),
        expect.stringMatching(/^→ {2}close {3}fin +\d+ B {2}1002 \(protocol error\) masked frame from a server$/)
      ])
    })
  )
})

describe.concurrent("--record", () => {
  it.live("keeps both directions in a file for its owner, in place of what it held", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "talk.jsonl")
      yield* run(["connect", urlOf(echo()), "--record", path], "a\nb\n")
      writeFileSync(path, "x".repeat(100_000))
      const { stderr, stdout } = yield* run(["connect", urlOf(echo()), "--record", path], "hello\n")
      expect([stdout, framesOf(stderr)]).toEqual(["hello\n", []])
      const recording = yield* parse(path)
      expect(Transcript.read(recording).map((said) => `${said.from}: ${Transcript.show(said)}`)).toEqual([
        'client: text of 5 bytes: "hello"',
        expect.stringMatching(/^(client: Close|server: text)/),
        expect.stringMatching(/^(client: Close|server: text)/),
        'server: Close 1000 ""'
      ])
      expect(recording.header).toMatchObject({ role: "client", url: urlOf(echo()) })
      expect(recording.entries.at(-1)?._tag).toBe("End")
      if (process.platform !== "win32") expect(statSync(path).mode & 0o777).toBe(0o600)
    }).pipe(Effect.scoped)
  )

  it.live("keeps and shows what is long, as long as a message may be", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "talk.jsonl")
      // Which does not become much shorter.
      const long = Array.from({ length: 100 }, (_, i) => createHash("sha512").update(`${i}`).digest("base64")).join("")
      const flags = ["--frames", "--record", path, "--deflate-threshold", "0"]
      const { stderr } = yield* run(["connect", urlOf(echo()), ...flags], `${long.repeat(10)}\n`)
      expect(framesOf(stderr)[0]).toMatch(/^→ {2}text {4}fin rsv1 +6\d{4} B {2}\(inflated: 88000 B\) /)
      expect(framesOf(stderr)[0]).toContain(long.slice(0, 40))
      const { entries } = yield* parse(path)
      const payloads = entries.flatMap((entry) => (entry._tag === "Frame" ? [entry] : []))
      expect(payloads.map(({ cut }) => cut)).toEqual([0, 0, 0, 0])
      expect(payloads[0]!.payload.length).toBeGreaterThan(65_536)
    }).pipe(Effect.scoped)
  )

  it.live("can be read to the last line when the command was killed", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "talk.jsonl")
      const command = yield* start("connect", urlOf(echo()), "--record", path)
      command.type("one\n")
      yield* command.says(/^one\n/)
      command.type("two\n")
      yield* command.says(/\ntwo\n/)
      command.signal("SIGKILL")
      yield* command.end
      const said = Transcript.read(yield* parse(path)).map(Transcript.show)
      expect(said).toEqual([1, 1, 2, 2].map((n) => `text of 3 bytes: "${n === 1 ? "one" : "two"}"`))
    })
  )

  it.live("into what cannot be written has exit code 1 and a sentence, and nothing is opened", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const { port, size } = yield* RawPeer.listen
      for (const [file, sentence] of [
        [path, `${path} is a folder and no file`],
        [join(path, "no", "talk.jsonl"), `there is no folder for the file ${join(path, "no", "talk.jsonl")}`]
      ] as const) {
        const { code, stderr, stdout } = yield* run(["connect", urlOf({ port }), "--record", file])
        expect([code, stdout, stderr]).toEqual([1, "", `millrace: ${sentence}\n`])
      }
      expect(size()).toBe(0)
    })
  )

  it.live("leaves the file as it was when there is no connection", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "talk.jsonl")
      writeFileSync(path, "precious")
      const port = nobodysPort
      expect((yield* run(["connect", urlOf({ port }), "--record", path])).code).toBe(1)
      expect(readFileSync(path, "utf8")).toBe("precious")
    })
  )

  it.live.skipIf(!existsSync("/dev/full"))("to a disk that is full says so once, goes on, and has exit code 1", () =>
    Effect.gen(function* () {
      const flags = ["--record", "/dev/full", "--frames"]
      const { code, stderr, stdout } = yield* run(["connect", urlOf(echo()), ...flags], "hello\n")
      expect([code, stdout]).toEqual([1, "hello\n"])
      expect(stderr.match(/^millrace: the recording ends here: .*ENOSPC/gm)).toHaveLength(1)
      expect(framesOf(stderr)).toContain("←  text    fin        5 B  hello")
    })
  )
})

/** The command on a terminal of 60 columns. */
const onTerminal = (flags: ReadonlyArray<string>, env: NodeJS.ProcessEnv): Effect.Effect<Command, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const bin = fileURLToPath(new URL("../../../node_modules/.bin/", import.meta.url))
      // What Node.js decides by, beside the terminal: on a machine for tests it takes a terminal for one without colours.
      const { CI: _, FORCE_COLOR: __, NO_COLOR: ___, ...rest } = process.env
      const PATH = `${bin}${delimiter}${rest["PATH"]}`
      const line = `stty cols 60; exec millrace ${flags.join(" ")}`
      return new Command(
        spawn("script", ["-qec", line, "/dev/null"], {
          env: { ...rest, PATH, TERM: "xterm", SHELL: "/bin/sh", ...env }
        })
      )
    }),
    (command) =>
      Effect.suspend(() => {
        command.signal("SIGKILL")
        return command.end
      })
  )

/** As of util-linux: that of other systems has other flags. */
const hasScript = process.platform === "linux" && existsSync("/usr/bin/script")

describe.skipIf(!hasScript)("on a terminal", () => {
  const long = "word ".repeat(30).trim()

  it.live.each([
    [{}, true],
    [{ NO_COLOR: "1" }, false]
  ] as const)("with %j frames are cut to its width, in colour: %s", ([env, isColoured]) =>
    Effect.gen(function* () {
      const { url } = yield* NodeWebSocketServer.serve({}, (connection) =>
        Effect.andThen(connection.send(long), Stream.runDrain(connection.messages))
      )
      const command = yield* onTerminal(["connect", url, "--frames"], env)
      yield* command.says(/word word\r\n/)
      const line = command.stdout.split("\r\n").find((line) => line.includes("←") && line.includes("text"))!
      expect(line.includes("\u001b[32m")).toBe(isColoured)
      const shown = stripVTControlCharacters(line)
      expect(shown).toMatch(/ 149 B {2}word word [word ]+…$/)
      expect(shown.length).toBeLessThanOrEqual(60)
      expect(shown.length).toBeGreaterThan(50)
    })
  )
})
