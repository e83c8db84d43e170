/** `millrace replay` as a process: what was recorded is played to servers that are the same, and to others. */
import { constants } from "node:buffer"
import { readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import type * as Recording from "@millrace/core/protocol/Recording"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { run, server, shared, start } from "../../support/command.ts"
import { folder } from "../../support/folder.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"
import * as recordings from "../../support/recordings.ts"

const { end, frame, header, of, text } = recordings

const plain = shared(server("echo"))
const deflating = shared(server("echo", "--deflate"))
const hub = shared(server("serve"))

const urlOf = ({ port }: { readonly port: number }, path = "/") => `ws://127.0.0.1:${port}${path}`

/** A file with that text. */
const fileOf = (content: string) =>
  Effect.map(folder, (path) => {
    const file = join(path, "talk.jsonl")
    writeFileSync(file, content)
    return file
  })

const file = (recording: Recording.Recording) => fileOf(RecordingText.print(recording))

/** What a client says to a server, recorded by the command. */
const record = (url: string, input: string, ...flags: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const path = join(yield* folder, "talk.jsonl")
    yield* run(["connect", url, "--record", path, ...flags], input)
    return path
  })

const answering = (answer: (connection: WebSocket) => Effect.Effect<unknown, unknown>) =>
  Effect.map(
    NodeWebSocketServer.serve({}, answer as (connection: WebSocket) => Effect.Effect<unknown>),
    ({ url }) => url
  )

const echoing = (change: (text: string) => string) =>
  answering((connection) =>
    Stream.runForEach(connection.messages, (message) =>
      connection.send(message._tag === "Text" ? change(message.text) : message)
    )
  )

const played = (path: string, url: string) => `millrace: playing ${path} to ${url}\n`

const other = "millrace: the server does not say what it said in the recording\n"

const twice = of(
  text("client", "1"),
  text("server", "1"),
  text("client", "2"),
  text("server", "2"),
  frame("client", "close", Uint8Array.of(3, 0xe8)),
  frame("server", "close", Uint8Array.of(3, 0xe8)),
  { _tag: "Ended", t: 8, from: "server", abruptly: false },
  end
)

describe.concurrent("a server that has not changed", () => {
  it.live.each([
    ["an echo", plain, "/", "hello\n\u00e9\n", [], "2 messages"],
    ["an echo of binary messages", plain, "/", "hello\n", ["--binary"], "1 message"],
    ["a compressed echo", deflating, "/", `${"a".repeat(2_000)}\nb\n`, ["--deflate-threshold", "2"], "2 messages"],
    [
      "an echo with small windows",
      deflating,
      "/",
      `${"a".repeat(2_000)}\n`,
      ["--server-max-window-bits", "9", "--client-no-context-takeover"],
      "1 message"
    ]
  ] as const)("says the same: %s", ([, at, path, input, flags, counted]) =>
    Effect.gen(function* () {
      const url = urlOf(at(), path)
      const talk = yield* record(url, input, ...flags)
      const { code, stderr, stdout } = yield* run(["replay", talk, url])
      expect([stdout, code]).toEqual([`no difference: ${counted} and a Close from the server, as recorded\n`, 0])
      expect(stderr).toBe(played(talk, url))
    }).pipe(Effect.scoped)
  )

  it.live.each(["answers", "recorded", "at-once"])("says the same with --pace %s", (pace) =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run(["replay", yield* file(twice), urlOf(plain()), "--pace", pace, "--json"])
      expect([stdout, code]).toEqual(['{"same":true,"answers":3}\n', 0])
    }).pipe(Effect.scoped)
  )

  it.live("is waited for only where --pace says so", () =>
    Effect.gen(function* () {
      // Which answers nothing before it has heard both.
      const url = yield* answering((connection) =>
        Effect.gen(function* () {
          const both = [yield* connection.receive, yield* connection.receive]
          yield* connection.sendAll([both[0]!, both[1]!])
          yield* Stream.runDrain(connection.messages)
        })
      )
      const talk = yield* file(
        of(text("client", "1"), text("server", "1"), text("client", "2", { t: 300 }), text("server", "2", { t: 301 }))
      )
      const now = `${talk}.now`
      const play = (pace: string) =>
        run(["replay", talk, url, "--patience", "5s", "--pace", pace, "--record", now, "--json"])
      for (const pace of ["at-once", "recorded"]) {
        const { code, stdout } = yield* play(pace)
        expect([stdout, code]).toEqual(['{"same":true,"answers":2}\n', 0])
        const { entries } = yield* Effect.fromResult(RecordingText.parse(readFileSync(now, "utf8")))
        expect(entries[1]).toMatchObject({ from: "client", payload: Uint8Array.of(0x32) })
        if (pace === "recorded") expect(entries[1]!.t).toBeGreaterThan(250)
        else expect(entries[1]!.t).toBeLessThan(250)
      }
      expect((yield* play("answers")).code).toBe(2)
    })
  )

  it.live("is asked for the subprotocol that it chose: the hub", () =>
    Effect.gen(function* () {
      const said = '{"type":"subscribe","topic":"lobby"}\n'
      const talk = yield* record(urlOf(hub(), "/ws"), said, "-s", "millrace.v1.json")
      const { code, stdout } = yield* run(["replay", talk, urlOf(hub(), "/ws")])
      // It gives each client another name, which is a difference.
      expect([code, stdout]).toEqual([2, expect.stringMatching(/^no\. 1 of what the server says, line 2 of /)])
      expect(stdout.match(/"type":"welcome"/g)).toHaveLength(2)
      expect(RecordingText.parse(readFileSync(talk, "utf8"))).toMatchObject({
        success: { header: { subprotocol: "millrace.v1.json" } }
      })
    }).pipe(Effect.scoped)
  )

  it.live("may have been recorded breaking a rule, and is played to with what broke one", () =>
    Effect.gen(function* () {
      const broken = of(
        { _tag: "Raw", t: 1, from: "client", bytes: Uint8Array.of(0x83, 0x80, 0, 0, 0, 0), cut: 0, violation: "x" },
        frame("server", "close", Uint8Array.of(3, 0xea, ...Buffer.from("reserved opcode"))),
        end
      )
      const { code, stderr, stdout } = yield* run(["replay", yield* file(broken), urlOf(plain()), "--frames"])
      expect([stdout, code]).toEqual(["no difference: no message and a Close from the server, as recorded\n", 0])
      expect(stderr).toMatch(/^→ +\d+\.\d+ {2}raw +6 B {2}\(.+\) 83 80 00 00 00 00$/m)
    }).pipe(Effect.scoped)
  )

  it.live("is played to the last frame of a recording that has no end", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run(["replay", yield* file(of(...twice.entries.slice(0, 3))), urlOf(plain())])
      expect([stdout, code]).toEqual(["no difference: 1 message from the server, as recorded\n", 0])
    }).pipe(Effect.scoped)
  )
})

describe.concurrent("a server that has changed", () => {
  it.live("is told by the first difference, with its line, and exit code 2", () =>
    Effect.gen(function* () {
      const url = yield* echoing((text) => (text === "2" ? "three\u001b[2J" : text))
      const talk = yield* file(twice)
      const { code, stderr, stdout } = yield* run(["replay", talk, url])
      expect([stdout, stderr, code]).toEqual([
        `no. 2 of what the server says, line 5 of ${talk}:\n` +
          "  recorded  text, 1 byte: 2\n" +
          "  now       text, 9 bytes: three\\x1b[2J\n",
        `${played(talk, url)}${other}`,
        2
      ])
    })
  )

  it.live("is told to a program as an object in a line", () =>
    Effect.gen(function* () {
      const url = yield* echoing((text) => `${text}!`)
      const { code, stdout } = yield* run(["replay", yield* file(twice), url, "--json"])
      expect([code, JSON.parse(stdout)]).toEqual([
        2,
        {
          same: false,
          difference: "changed",
          index: 0,
          line: 3,
          expected: { op: "text", text: "1", length: 1 },
          actual: { op: "text", text: "1!", length: 2 }
        }
      ])
      expect(stdout.split("\n")).toHaveLength(2)
    })
  )

  it.live("far into a message is shown where the difference is", () =>
    Effect.gen(function* () {
      const long = "0123456789".repeat(1_000)
      const url = yield* echoing((text) => text.replace(/9$/, "X"))
      const talk = yield* file(of(text("client", long), text("server", long), end))
      const { code, stdout } = yield* run(["replay", talk, url])
      expect([stdout, code]).toEqual([
        `no. 1 of what the server says, line 3 of ${talk}, from byte 10000 on:\n` +
          "  recorded  text, 10000 bytes: …901234567890123456789\n" +
          "  now       text, 10000 bytes: …90123456789012345678X\n",
        2
      ])
    })
  )

  it.live("that closes with another code or reason, or at another time", () =>
    Effect.gen(function* () {
      const url = yield* answering((connection) => connection.close(1008, "no more"))
      const talk = yield* file(twice)
      const { code, stdout } = yield* run(["replay", talk, url])
      expect([stdout, code]).toEqual([
        `no. 1 of what the server says, line 3 of ${talk}:\n` +
          "  recorded  text, 1 byte: 1\n  now       close 1008 (policy violation) no more\n",
        2
      ])
    })
  )

  it.live("that says nothing any more is waited for, for as long as --patience says", () =>
    Effect.gen(function* () {
      const url = yield* answering((connection) => Stream.runDrain(connection.messages))
      const talk = yield* file(of(...twice.entries.slice(0, 4)))
      const now = `${talk}.now`
      const { code, stdout } = yield* run(["replay", talk, url, "--patience", "50ms", "--record", now])
      expect([stdout, code]).toEqual([
        `no. 1 of what the server says, line 3 of ${talk}:\n` +
          "  recorded  text, 1 byte: 1\n  now       nothing: it was silent\n",
        2
      ])
      const { entries } = yield* Effect.fromResult(RecordingText.parse(readFileSync(now, "utf8")))
      expect(entries[1]).toMatchObject({ _tag: "Ended", from: "client" })
      expect(entries[1]!.t).toBeGreaterThan(45)
      expect(entries[1]!.t).toBeLessThan(9_000)
    })
  )

  it.live("that says more than it did", () =>
    Effect.gen(function* () {
      const url = yield* echoing((text) => text)
      const talk = yield* file(of(text("client", "1"), text("client", "2"), text("server", "1"), end))
      const { code, stdout } = yield* run(["replay", talk, url])
      expect([stdout, code]).toEqual([
        "no. 2 of what the server says:\n  recorded  nothing more\n  now       text, 1 byte: 2\n",
        2
      ])
    })
  )

  it.live("that chooses another subprotocol", () =>
    Effect.gen(function* () {
      const talk = yield* file({ ...twice, header: { ...header, subprotocol: "chat.v1" } })
      const { code, stdout } = yield* run(["replay", talk, urlOf(plain())])
      expect([stdout, code]).toEqual([
        "the server chooses another subprotocol:\n  recorded  chat.v1\n  now       none\n",
        2
      ])
    }).pipe(Effect.scoped)
  )
})

describe.concurrent("a compressed recording", () => {
  const input = `${"a".repeat(2_000)}\n${"a".repeat(2_000)}\n`

  it.live("cannot be played to a server that does not compress, but with --inflate", () =>
    Effect.gen(function* () {
      const talk = yield* record(urlOf(deflating()), input, "--deflate")
      const refused = yield* run(["replay", talk, urlOf(plain())])
      expect([refused.code, refused.stdout]).toEqual([1, ""])
      expect(refused.stderr).toContain(
        `millrace: line 2 of ${talk} cannot be played: it is coded by permessage-deflate, and agreed on is nothing; ` +
          "--inflate plays it without compression\n"
      )
      const { code, stdout } = yield* run(["replay", talk, urlOf(plain()), "--inflate"])
      expect([stdout, code]).toEqual(["no difference: 2 messages and a Close from the server, as recorded\n", 0])
    }).pipe(Effect.scoped)
  )

  it.live("is compared by what was said, not by how it was compressed", () =>
    Effect.gen(function* () {
      const talk = yield* record(urlOf(deflating()), input, "--deflate")
      const extensions = [NodeDeflate.compression({ threshold: 0, level: 0 })]
      const { url } = yield* NodeWebSocketServer.serve({ extensions }, (connection) =>
        Stream.runForEach(connection.messages, connection.send)
      )
      const { code, stdout } = yield* run(["replay", talk, url])
      expect([stdout, code]).toEqual(["no difference: 2 messages and a Close from the server, as recorded\n", 0])
    })
  )
})

describe.concurrent("what cannot be played has exit code 1 and a sentence", () => {
  const first = '{"format":"millrace-recording","version":1,"role":"client"}\n'

  it.live.each([
    ["no recording", "hello\n", /^line 1 of \S+: not JSON$/],
    ["nothing", "", /^line 1 of \S+: there is no first line$/],
    ["another version", first.replace("1,", "2,"), /^line 1 of \S+: a version that is not known here$/],
    ["a wrong line", `${first}\n{"t":1,"from":"nobody","op":"text"}\n`, /^line 3 of \S+: "from" is not "client" or/],
    ["a last line that has an end", `${first}oops\n`, /^line 2 of \S+: not JSON$/],
    [
      "half a line at its end",
      `${first}{"t":1,"from":"client","op":"text","te`,
      /^line 2 of \S+: not JSON; it is the last line and has no end, so take it away to play what is before it$/
    ],
    [
      "a message that was cut",
      `${first}\n{"t":1,"from":"client","op":"text","text":"a","cut":5}\n`,
      /^line 3 of \S+ cannot be played: not all of it was recorded$/
    ]
  ] as const)("a file with %s", ([, content, sentence]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* run(["replay", yield* fileOf(content), urlOf(plain())])
      expect([code, stdout]).toEqual([1, ""])
      expect(stderr.trimEnd().split("\n").at(-1)!.slice("millrace: ".length)).toMatch(sentence)
    }).pipe(Effect.scoped)
  )

  it.live("a file that is not there, a folder, and a file that is longer than a string can be", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const long = join(path, "long.jsonl")
      // Of holes: it takes no room.
      writeFileSync(long, "")
      truncateSync(long, constants.MAX_STRING_LENGTH + 1)
      for (const [file, sentence] of [
        [join(path, "none"), `there is no file ${join(path, "none")}`],
        [path, `${path} is a folder and no file`],
        [long, `${long} is too long to be played: more than ${constants.MAX_STRING_LENGTH} bytes`]
      ] as const) {
        const { code, stderr } = yield* run(["replay", file, urlOf(plain())])
        expect([code, stderr]).toEqual([1, `millrace: ${sentence}\n`])
      }
    }).pipe(Effect.scoped)
  )

  it.live("a server that is not there, and one that refuses", () =>
    Effect.gen(function* () {
      const talk = yield* file(twice)
      const port = nobodysPort
      const gone = yield* run(["replay", talk, urlOf({ port })])
      expect([gone.code, gone.stderr]).toEqual([1, `millrace: nobody listens at ${urlOf({ port })}\n`])
      const refused = yield* run(["replay", talk, urlOf(hub(), "/nothing")])
      expect([refused.code, refused.stderr]).toEqual([
        1,
        expect.stringMatching(/^millrace: the server answered with status 404[^\n]*\n$/)
      ])
    }).pipe(Effect.scoped)
  )
})

it.live("Ctrl-C is no yes: exit code 130", () =>
  Effect.gen(function* () {
    const url = yield* answering((connection) => Stream.runDrain(connection.messages))
    const command = yield* start("replay", yield* file(twice), url)
    yield* command.reports(/playing /)
    command.signal("SIGINT")
    const { code, stdout } = yield* command.end
    expect([code, stdout]).toEqual([130, ""])
  })
)
