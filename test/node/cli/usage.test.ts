/** What a person reads who asks for help, and who makes a mistake: one sentence, and an exit code that says so. */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { delimiter } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run } from "../../support/command.ts"

describe.concurrent("--help", () => {
  it.live("names the commands", () =>
    Effect.gen(function* () {
      for (const flags of [[], ["--help"]]) {
        const { code, stdout, stderr } = yield* run(flags)
        expect([code, stderr]).toEqual([0, ""])
        expect(stdout).toMatch(/^ {2}serve +Run a hub/m)
        expect(stdout).toMatch(/^ {2}echo +Echo every message/m)
        expect(stdout).toMatch(/^ {2}connect +Talk to a WebSocket server/m)
        expect(stdout).toMatch(/^ {2}listen +Show the events of a server/m)
        expect(stdout).toMatch(/^ {2}publish +Publish to a topic of a hub/m)
        expect(stdout).toMatch(/^ {2}replay +Play a recording to a server/m)
      }
    })
  )

  it.live.each([
    [
      "serve",
      [
        "--host",
        "--port",
        "--max-message",
        "--allow-origin",
        "--broker",
        "--history-size",
        "--history-age",
        "--when-down",
        "--advertise",
        "--publish-token",
        "--slow-consumer"
      ],
      ["Default 8080", "Default 1MiB", "Default memory", "Default 1000", "Default 5m", "Default fail", "disconnect"]
    ],
    ["publish", ["--key", "--token"], ["exit code is 0 when", "MILLRACE_PUBLISH_TOKEN"]],
    ["echo", ["--host", "--port", "--max-message"], ["Default 9001", "Default 64MiB"]],
    [
      "connect",
      ["--header", "--subprotocol", "--binary", "--max-message", "--frames", "--record"],
      ["Ctrl-D", "exit code is 0 only", "secrets included"]
    ],
    [
      "replay",
      ["--header", "--pace", "--patience", "--inflate", "--json", "--frames", "--record"],
      ["Default answers", "Default 10s", "exit code is 0 when there is none, 2 when there is one, and 1 when"]
    ],
    [
      "listen",
      ["--method", "--header", "--data", "--last-event-id", "--json", "--no-reconnect", "--heartbeat"],
      ["Ctrl-C", "exit code is 0 only", "POST, is made once", "two of them is lost"]
    ]
  ] as const)("of %s says what it does, each flag with its default, and gives examples", ([name, flags, words]) =>
    Effect.gen(function* () {
      const { code, stdout, stderr } = yield* run([name, "--help"])
      expect([code, stderr]).toEqual([0, ""])
      for (const flag of flags) expect(stdout).toMatch(new RegExp(`^ {2}${flag}\\b.*  [A-Z].*\\.$`, "m"))
      for (const word of words) expect(stdout).toContain(word)
      expect(stdout.split("EXAMPLES")[1]).toMatch(new RegExp(`^ {2}millrace ${name}\\b`, "m"))
    })
  )
})

it.skipIf(!existsSync("/dev/full"))(
  "what cannot be written, to a disk that is full, has exit code 1 and a sentence",
  () => {
    const bin = fileURLToPath(new URL("../../../node_modules/.bin/", import.meta.url))
    const { status, stderr } = spawnSync("sh", ["-c", 'exec "$0" --version > /dev/full', `${bin}millrace`], {
      env: { ...process.env, PATH: `${bin}${delimiter}${process.env["PATH"]}` },
      encoding: "utf8"
    })
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^millrace: [^\n]*ENOSPC[^\n]*\n$/)])
  }
)

it.live("--version says a version", () =>
  Effect.map(run(["--version"]), ({ code, stdout }) => {
    expect(code).toBe(0)
    expect(stdout).toMatch(/^millrace v\d+\.\d+\.\d+\n$/)
  })
)

describe.concurrent("a mistake", () => {
  const mistakes: ReadonlyArray<readonly [flags: ReadonlyArray<string>, sentence: RegExp]> = [
    [["frobnicate"], /Unknown subcommand "frobnicate".* Try millrace --help\.$/],
    [["serve", "--bogus"], /Unrecognized flag: --bogus .* Try millrace serve --help\.$/],
    [["serve", "--broker", "kafka://localhost"], /--broker: "kafka:.* Expected: memory, or a URL such as redis:/],
    [["serve", "--broker", "redis://"], /--broker: .* Expected: memory, or a URL such as redis:/],
    [["serve", "--history-size", "0"], /--history-size: "0"\. Expected: a number from 1 to/],
    [["serve", "--history-age", "soon"], /--history-age: "soon"\. Expected: a time such as/],
    [["serve", "--when-down", "never"], /--when-down: "never"\. Expected: fail, or a time such as/],
    [["serve", "--slow-consumer", "kill"], /--slow-consumer/],
    [["serve", "--advertise", "here"], /--advertise: "here"\. Expected: a URL such as/],
    [["serve", "extra"], /Unexpected positional argument: "extra"\. Try/],
    [
      ["echo", "--port", "abc"],
      /--port: "abc"\. Expected: a number from 0 to 65535, where 0 takes a port that is free\. /
    ],
    [["serve", "--port", "65536"], /--port: "65536"\. Expected: a number from 0 to 65535/],
    [["echo", "--max-message", "lots"], /--max-message: "lots"\. Expected: a size such as 65536, 64KiB or 1\.5MB\. /],
    [
      ["serve", "--allow-origin", "https://a.example", "--allow-origin", "example.com/path"],
      /--allow-origin: .*"?example\.com\/path"?\. Expected: origins such as https:\/\/example\.com/
    ],
    [
      ["serve", "--host", "203.0.113.1", "--port", "0"],
      /203\.0\.113\.1:0 is no address of this machine; choose another/
    ],
    [["connect"], /Missing required argument: url\. Try millrace connect --help\.$/],
    [["connect", "nonsense"], /"nonsense" cannot be opened: it is no URL$/],
    [["connect", "ftp://localhost/"], /its scheme is neither ws: nor wss:$/],
    [["connect", "ws://localhost/", "-H", "bad"], /--header: "bad"\. Expected: a header, written "Name: value"\. /],
    [
      ["listen", "http://localhost/", "--heartbeat", "0s"],
      /--heartbeat: "0s"\. Expected: a time such as 500ms, 15s or 2m\. /
    ],
    [["listen", "http://localhost/", "--heartbeat", "15"], /--heartbeat: "15"\. Expected: a time such as/],
    [["replay", "talk.jsonl"], /Missing required argument: url\. Try millrace replay --help\.$/],
    [
      ["replay", "talk.jsonl", "ws://localhost/", "--pace", "slow"],
      /--pace: "slow"\. Expected: answers, recorded or at-once\. /
    ],
    [["connect", "ws://localhost/", "-s", "two,three"], /Invalid subprotocol/],
    [["connect", "ws://localhost/", "-H", "Upgrade: h2c"], /Invalid field name/]
  ]

  it.live.each(mistakes)("%j is answered with one sentence and exit code 1", ([flags, sentence]) =>
    Effect.map(run(flags), ({ code, stdout, stderr }) => {
      expect([code, stdout]).toEqual([1, ""])
      expect(stderr).toMatch(/^millrace: [^\n]+\n$/)
      expect(stderr.trimEnd()).toMatch(sentence)
    })
  )
})
