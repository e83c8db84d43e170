/** `millrace listen` as a process, against servers of bare `node:http` that do what the test says. */
import type { IncomingMessage, ServerResponse } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as bare from "../../support/bareServer.ts"
import { run, start } from "../../support/command.ts"
import { eventually } from "../../support/eventually.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"

/** A server that answers each request in turn, and the last ones with 204. */
const answering = (...answers: ReadonlyArray<(response: ServerResponse, request: IncomingMessage) => unknown>) =>
  Effect.gen(function* () {
    let next = 0
    return yield* bare.listen((request, response) => {
      const answer = answers[next++]
      if (answer === undefined) response.writeHead(204).end()
      else answer(response, request)
    })
  })

/** What it says on standard error, a sentence each, without its name. */
const sentences = (stderr: string): ReadonlyArray<string> =>
  stderr
    .trimEnd()
    .split("\n")
    .map((line) => (line.startsWith("millrace: ") ? line.slice("millrace: ".length) : `?? ${line}`))

describe.concurrent("the events", () => {
  it.live("are shown a line each, with the name of those that have one", () =>
    Effect.gen(function* () {
      const server = yield* answering((response) =>
        bare.stream(response, "data: hello\n\nevent: said\ndata: été\ndata: two\n\ndata\n\n").end()
      )
      const { code, stdout, stderr } = yield* run(["listen", server.url, "--no-reconnect"])
      expect([code, stdout]).toEqual([0, "hello\n[said] été\\ntwo\n\n"])
      expect(sentences(stderr)).toEqual([
        `connected to ${server.url}/; Ctrl-C ends it`,
        "the server has ended the response"
      ])
    })
  )

  it.live("are shown as lines of JSON with --json, with the last event ID as it was when they came", () =>
    Effect.gen(function* () {
      const server = yield* answering((response) =>
        bare.stream(response, "data: a\n\nid: 1\nevent: said\ndata: b\ndata: c\n\ndata: \u0007\u009b\u2028\n\n").end()
      )
      const { code, stdout } = yield* run(["listen", server.url, "--json", "--no-reconnect"])
      expect([code, stdout]).toEqual([
        0,
        '{"event":"message","data":"a","id":""}\n' +
          '{"event":"said","data":"b\\nc","id":"1"}\n' +
          '{"event":"message","data":"\\u0007\\u009b\u2028","id":"1"}\n'
      ])
      expect(
        stdout
          .split("\n")
          .slice(0, 3)
          .map((line) => JSON.parse(line).data)[2]
      ).toBe("\u0007\u009b\u2028")
    })
  )

  it.live("are shown as they come, and without control characters", () =>
    Effect.gen(function* () {
      const server = yield* answering((response) => {
        bare.stream(response, "event: a\u001b[2J\ndata: \u0000\u001b]0;title\u0007\u009b\n\n")
      })
      const command = yield* start("listen", server.url)
      yield* command.says(/^\[a\\x1b\[2J\] \\x00\\x1b\]0;title\\x07\\x9b\n$/)
    })
  )

  it.live("are asked for with the headers and from the event that were given", () =>
    Effect.gen(function* () {
      const server = yield* answering()
      const flags = ["-H", "Authorization: Bearer a:b", "--header", "X-Two:  2 ", "--last-event-id", "é 1"]
      const { code, stderr } = yield* run(["listen", `${server.url}/a%20b?c=d`, ...flags])
      expect([code, sentences(stderr)]).toEqual([0, ["the server has no more to say (204)"]])
      const { headers, url } = server.asked[0]!
      expect(url).toBe("/a%20b?c=d")
      expect(headers).toMatchObject({ authorization: "Bearer a:b", "x-two": "2", accept: "text/event-stream" })
      expect(Buffer.from(String(headers["last-event-id"]), "latin1").toString()).toBe("é 1")
    })
  )

  it.live("are the answer to a POST where there is --data, which is JSON when it is", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const server = yield* bare.listen((request, response) => {
        let body = ""
        request.setEncoding("utf8").on("data", (chunk) => (body += chunk))
        request.on("end", () => {
          const types = request.headersDistinct["content-type"]
          told.push(`${request.method} ${types?.join(" and ")} ${body}`)
          bare.stream(response, "data: answer\n\n").end()
        })
      })
      const asking: ReadonlyArray<ReadonlyArray<string>> = [
        ["--data", '{"é": 1}'],
        ["-d", "1", "-H", "content-type: application/vnd.one+json"],
        ["--data", "{", "--method", "PUT"],
        ["--data", ""]
      ]
      const ended = yield* Effect.forEach(asking, (flags) => run(["listen", server.url, ...flags]), { concurrency: 2 })
      for (const { code, stdout } of ended) expect([code, stdout]).toEqual([0, "answer\n"])
      expect(told.toSorted()).toEqual([
        'POST application/json {"é": 1}',
        "POST application/vnd.one+json 1",
        "POST undefined ",
        "PUT undefined {"
      ])
    })
  )

  it.live("may be as long as --max-message", () =>
    Effect.gen(function* () {
      const server = yield* answering((response) => bare.stream(response, "data: 1234\n\ndata: 1234567\n\ndata: 1\n\n"))
      const { code, stdout, stderr } = yield* run(["listen", server.url, "--max-message", "12"])
      expect([code, stdout]).toEqual([1, "1234\n"])
      expect(sentences(stderr).at(-1)).toBe("event stream with a line of more than 12 bytes")
    })
  )
})

describe.concurrent("a connection that is lost", () => {
  it.live("is opened again, behind the last event, and it says so", () =>
    Effect.gen(function* () {
      const server = yield* answering(
        (response) => bare.stream(response, "id: 1\ndata: one\n\ndata: ha").end(),
        (response) => response.destroy(),
        (response) => response.writeHead(503, { "Content-Type": "text/plain" }).end("back \u001b[2Jsoon\n"),
        (response, request) => bare.stream(response, `id: 2\ndata: ${request.headers["last-event-id"]}\n\n`).end()
      )
      const { code, stdout, stderr } = yield* run(["listen", server.url])
      expect([code, stdout]).toEqual([0, "one\n1\n"])
      expect(server.asked.map(({ headers }) => headers["last-event-id"])).toEqual([undefined, "1", "1", "1", "2"])
      const again = "trying again in \\d\\.\\d s"
      const url = `${server.url}/`
      for (const [i, sentence] of [
        `^connected to ${url}; Ctrl-C ends it$`,
        `^the server has ended the response; ${again}$`,
        `^the server at ${server.url} ended the connection before it was open; ${again}$`,
        `^the server answered with status 503: back \\\\x1b\\[2Jsoon; ${again}$`,
        `^connected again to ${url}, behind the event 1; Ctrl-C ends it$`,
        `^the server has ended the response; ${again}$`,
        "^the server has no more to say \\(204\\)$"
      ].entries()) {
        expect(sentences(stderr)[i]).toMatch(new RegExp(sentence))
      }
    })
  )

  it.live("in the middle of the stream is told from one that never was", () =>
    Effect.gen(function* () {
      const server = yield* answering((response) => {
        bare.stream(response, "data: 1\n\n")
        setImmediate(() => response.destroy())
      })
      const { stderr } = yield* run(["listen", server.url])
      expect(sentences(stderr)[1]).toMatch(/^the connection was lost: .*; trying again in \d\.\d s$/)
    })
  )

  it.live("is one on which nothing came for two periods of --heartbeat", () =>
    Effect.gen(function* () {
      const server = yield* answering(
        (response) => bare.stream(response, "id: 1\ndata: one\n\n"),
        (response, request) => bare.stream(response, `data: ${request.headers["last-event-id"]}\n\n`)
      )
      const { code, stdout, stderr } = yield* run(["listen", server.url, "--heartbeat", "0.1 s"])
      expect([code, stdout]).toEqual([0, "one\n1\n"])
      expect(sentences(stderr)[1]).toMatch(/^not a byte came for 200 ms; trying again in \d\.\d s$/)
      expect(sentences(stderr).at(-1)).toBe("the server has no more to say (204)")
    })
  )

  it.live("is not opened again for a POST, which may have done something", () =>
    Effect.gen(function* () {
      const server = yield* answering((response) => response.writeHead(503).end("busy"))
      const { code, stderr } = yield* run(["listen", server.url, "--data", "x"])
      expect([code, sentences(stderr), server.asked.length]).toEqual([
        1,
        ["the server answered with status 503: busy"],
        1
      ])
    })
  )

  it.live("is waited for as long as the server asks", () =>
    Effect.gen(function* () {
      const server = yield* answering((response) => response.writeHead(429, { "Retry-After": "60" }).end())
      const command = yield* start("listen", server.url)
      yield* command.reports(/^millrace: the server answered with status 429; trying again in 60 s\n$/)
    })
  )

  it.live("is the end with --no-reconnect, with exit code 1 and a sentence", () =>
    Effect.gen(function* () {
      const port = nobodysPort
      const nobody = yield* run(["listen", `http://127.0.0.1:${port}`, "--no-reconnect"])
      expect([nobody.code, nobody.stdout]).toEqual([1, ""])
      expect(sentences(nobody.stderr)).toEqual([`nobody listens at http://127.0.0.1:${port}`])
      const server = yield* answering((response) => {
        bare.stream(response, "data: 1\n\n")
        setImmediate(() => response.destroy())
      })
      const cut = yield* run(["listen", server.url, "--no-reconnect"])
      expect([cut.code, cut.stdout, sentences(cut.stderr).length]).toEqual([1, "1\n", 2])
      expect(sentences(cut.stderr)[1]).toMatch(/^the connection was lost: /)
    })
  )
})

describe.concurrent("what coming back would not mend", () => {
  it.live.each([
    [
      "401",
      (response: ServerResponse) => response.writeHead(401).end("no token\n"),
      "the server answered with status 401: no token"
    ],
    [
      "another type",
      (response: ServerResponse) => response.writeHead(200, { "Content-Type": "text/html" }).end("<p>"),
      "the server answered with status 200: its type is text/html: <p>"
    ],
    [
      "redirects in a circle",
      (response: ServerResponse) => response.writeHead(302, { Location: "?" }).end(),
      "the server answered with status 302: too many redirects"
    ]
  ] as const)("such as %s is the end, with exit code 1 and a sentence", ([, answer, sentence]) =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => void answer(response))
      const { code, stdout, stderr } = yield* run(["listen", server.url])
      expect([code, stdout, sentences(stderr)]).toEqual([1, "", [sentence]])
    })
  )

  it.live.each([
    [["ws://localhost/"], "URL: it is neither http: nor https:"],
    [["localhost"], "URL: it is no absolute URL"],
    [["http://ada:secret@localhost/"], "URL: it has a user; credentials go into a header"],
    [["http://localhost/", "--method", "A B"], "method: not a token (RFC 9110 9.1)"],
    [["http://localhost/", "--method", "GET", "--data", "x"], "body: GET has none"]
  ] as const)("such as %j is told before anything is asked", ([flags, sentence]) =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run(["listen", ...flags])
      expect([code, sentences(stderr)]).toEqual([1, [sentence]])
    })
  )
})

describe.concurrent("the end", () => {
  it.live.each(["SIGINT", "SIGTERM"] as const)("by %s is in order, and says where to go on", (signal) =>
    Effect.gen(function* () {
      const server = yield* answering((response) => bare.stream(response, "id: 42\ndata: 1\n\n"))
      const command = yield* start("listen", server.url)
      yield* command.says(/^1\n$/)
      command.signal(signal)
      const { code, stderr } = yield* command.end
      expect([code, sentences(stderr).at(-1)]).toEqual([0, "closed, behind the event 42"])
      yield* eventually(() => server.sockets.size === 0)
    })
  )

  it.live("comes also while it waits to come back", () =>
    Effect.gen(function* () {
      const server = yield* answering((response) => response.writeHead(503, { "Retry-After": "600" }).end())
      const command = yield* start("listen", server.url)
      yield* command.reports(/trying again in 600 s\n/)
      command.signal("SIGINT")
      const { code, stderr } = yield* command.end
      expect([code, sentences(stderr).at(-1)]).toEqual([0, "closed"])
    })
  )

  it.live("comes when nobody reads what it shows, as in `millrace listen ... | head -1`", () =>
    Effect.gen(function* () {
      const responses: Array<ServerResponse> = []
      const server = yield* answering((response) => responses.push(bare.stream(response, "data: 1\n\n")))
      const command = yield* start("listen", server.url)
      yield* command.says(/^1\n$/)
      command.process.stdout.destroy()
      yield* eventually(() => {
        responses[0]!.write("data: 2\n\n")
        return server.sockets.size === 0
      })
      expect((yield* command.end).code).toBe(0)
    })
  )
})
