/** `millrace publish` as people run it, to a hub as people run it. */
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { vi } from "vitest"
import { addressOf, dataOf } from "@millrace/node/cli/publish"
import { run, server, shared } from "../../support/command.ts"
import * as HubClient from "../../support/hubClient.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"

const hub = shared(server("serve"))

const guarded = shared(server("serve", "--publish-token", "s3cret"))

const url = () => `http://127.0.0.1:${hub().port}`

/** The first word of each line. */
const positions = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => line.split(" ")[0])

describe("millrace publish", () => {
  it.live("publishes JSON as it is and anything else as a text, and says where it is and who has it", () =>
    Effect.gen(function* () {
      const ada = yield* HubClient.connect(hub().port)
      yield* HubClient.subscribe(ada, "a topic")
      for (const [message, data] of [
        ['{"n":12345678901234567890}', '{"n":12345678901234567890}'],
        ["tea is ready", '"tea is ready"'],
        ["-1.50", "-1.50"]
      ] as const) {
        const { code, stderr, stdout } = yield* run(["publish", url(), "a topic", "--", message])
        expect([code, stderr]).toEqual([0, ""])
        expect(stdout).toMatch(/^[\w-]{8}:\d+ 1 receiver\n$/)
        expect(yield* ada.hearText).toContain(`"data":${data},"from":"@http"`)
      }
    })
  )

  it.live("publishes each line of standard input, once with a key however often it is run", () =>
    Effect.gen(function* () {
      const ada = yield* HubClient.connect(hub().port)
      yield* HubClient.subscribe(ada, "lines")
      const input = '1\n"two"\r\nthree'
      const first = yield* run(["publish", `ws://127.0.0.1:${hub().port}/ws`, "lines", "-", "--key", "k"], input)
      expect([first.code, first.stdout.trim().split("\n").length]).toEqual([0, 3])
      const again = yield* run(["publish", url(), "lines", "-", "--key", "k"], `${input}\n4\n`)
      expect(positions(again.stdout).slice(0, 3)).toEqual(positions(first.stdout))
      expect(again.stdout.split("\n").map((line) => line.split(" ").slice(1).join(" "))).toEqual([
        "published before",
        "published before",
        "published before",
        "1 receiver",
        ""
      ])
      for (const data of [1, "two", "three", 4]) expect((yield* ada.hear)["data"]).toBe(data)
    })
  )

  it.live("brings a token, of a flag or of the environment", () =>
    Effect.gen(function* () {
      const at = `http://127.0.0.1:${guarded().port}/`
      const without = yield* run(["publish", at, "t", "1"])
      expect([without.code, without.stdout, without.stderr]).toEqual([
        1,
        "",
        "millrace: not published: publishing needs the token of this hub (unauthorized)\n"
      ])
      expect((yield* run(["publish", at, "t", "1", "--token", "s3cret"])).code).toBe(0)
      vi.stubEnv("MILLRACE_PUBLISH_TOKEN", "s3cret")
      const ended = yield* Effect.ensuring(
        run(["publish", at, "t", "1"]),
        Effect.sync(() => vi.unstubAllEnvs())
      )
      expect(ended.code).toBe(0)
    })
  )

  it.live("ends with exit code 1 and a sentence at the first that is not published, with its line", () =>
    Effect.gen(function* () {
      const wrong = yield* run(["publish", url(), "$hub", "1"])
      expect([wrong.code, wrong.stdout]).toEqual([1, ""])
      expect(wrong.stderr).toMatch(/^millrace: not published: a topic has 1 to 256 .* \(bad-topic\)\n$/)
      const deep = "[".repeat(64) + "]".repeat(64)
      const lines = yield* run(["publish", url(), "t", "-"], `1\n${deep}\n3\n`)
      expect([lines.code, lines.stdout.split("\n").length]).toEqual([1, 2])
      expect(lines.stderr).toMatch(/^millrace: line 2: not published: .* \(too-deep\)\n$/)
    })
  )

  it.live("says what is wrong with an address", () =>
    Effect.gen(function* () {
      const nobody = yield* run(["publish", `http://127.0.0.1:${nobodysPort}`, "t", "1"])
      expect([nobody.code, nobody.stderr]).toEqual([
        1,
        `millrace: nobody listens at http://127.0.0.1:${nobodysPort}/publish\n`
      ])
      const none = yield* run(["publish", "ftp://x", "t", "1"])
      expect([none.code, none.stderr]).toEqual([1, 'millrace: "ftp://x" is no address of a hub\n'])
    })
  )

  it.live("takes no other server for a hub, and goes nowhere else", () =>
    Effect.gen(function* () {
      const other = yield* Effect.acquireRelease(
        Effect.callback<http.Server>((resume) => {
          const server = http.createServer((request, response) => {
            if (request.url!.startsWith("/moved")) response.writeHead(307, { Location: url() }).end()
            else response.end("\u001b[31mhello")
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close().closeAllConnections())
      )
      const { port } = other.address() as AddressInfo
      const plain = yield* run(["publish", `http://127.0.0.1:${port}`, "t", "1"])
      expect([plain.code, plain.stderr]).toEqual([
        1,
        `millrace: there is no hub at http://127.0.0.1:${port}/publish: the answer is not JSON\n`
      ])
      const moved = yield* run(["publish", `http://127.0.0.1:${port}/moved`, "t", "1"])
      expect([moved.code, moved.stderr]).toEqual([1, "millrace: the server answered 307\n"])
    })
  )
})

describe("the address of a hub", () => {
  it.each([
    ["http://localhost:8080", "http://localhost:8080/publish"],
    ["https://example.com/", "https://example.com/publish"],
    ["ws://localhost:8080/ws", "http://localhost:8080/publish"],
    ["wss://example.com/hub/ws?name=ada", "https://example.com/hub/publish"],
    ["https://example.com/publish", "https://example.com/publish"],
    ["ftp://example.com", undefined],
    ["example.com", undefined]
  ])("of %s is %s", (url, address) => {
    expect(addressOf(url)).toBe(address)
  })
})

it("a message is JSON, or else a text", () => {
  expect(["1e400", '"a"', "a", "", "{", "null"].map(dataOf)).toEqual(["1e400", '"a"', '"a"', '""', '"{"', "null"])
})
