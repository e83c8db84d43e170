/** Sessions over an event stream and POST as they are on the wire: requests by hand, and each answer that there is. */
import { spawn } from "node:child_process"
import * as http from "node:http"
import * as http2 from "node:http2"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as EventStream from "@millrace/core/codec/EventStream"
import * as Origin from "@millrace/core/codec/Origin"
import * as Session from "@millrace/core/messaging/Session"
import * as NodeSessionServer from "@millrace/node/NodeSessionServer"
import {
  authenticate,
  Chat,
  connect,
  credentials,
  handlersOf,
  type Seen,
  serve,
  ways
} from "../support/chatOverHttp.ts"
import { eventually, settled } from "../support/eventually.ts"
import { backTo, resources } from "../support/leaks.ts"
import { logged } from "../support/logged.ts"

const hello = '["hello",{"contract":"chat","version":"1","credentials":{"token":"ada"}}]'

/** A request by hand. */
const ask = (url: string, method: string, headers: Readonly<Record<string, string>> = {}, body?: string | Uint8Array) =>
  Effect.callback<{ readonly status: number; readonly headers: http.IncomingHttpHeaders; readonly text: string }>(
    (resume) => {
      const sent = http.request(url, { method, headers, agent: false }, (response) => {
        let text = ""
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
        response.on("end", () =>
          resume(Effect.succeed({ status: response.statusCode!, headers: response.headers, text }))
        )
      })
      sent.on("error", (error) => resume(Effect.die(error)))
      sent.end(body)
      return Effect.sync(() => sent.destroy())
    }
  )

/** An event stream that is open, by hand. */
interface Open {
  readonly response: http.IncomingMessage
  readonly events: Array<EventStream.Event>
  readonly secret: string
  ended: boolean
}

const lines = { "Content-Type": "application/x-ndjson" }

const open = (url: string, body = hello, headers: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const response = yield* Effect.acquireRelease(
      Effect.callback<http.IncomingMessage>((resume) => {
        const sent = http.request(
          url,
          { method: "POST", headers: { ...lines, ...headers }, agent: false },
          (response) => resume(Effect.succeed(response))
        )
        sent.on("error", (error) => resume(Effect.die(error)))
        sent.end(body)
      }),
      (response) => Effect.sync(() => response.destroy())
    )
    const parser = EventStream.makeParser()
    const self: { -readonly [K in keyof Open]: Open[K] } = { response, events: [], secret: "", ended: false }
    response.on("error", () => {})
    response.on("data", (chunk: Buffer) => self.events.push(...parser.push(chunk).events))
    response.on("end", () => (self.ended = true))
    yield* eventually(() => self.events.length > 0)
    self.secret = (JSON.parse(self.events[0]!.data) as { readonly session: string }).session
    return self
  })

const dataOf = ({ events }: Open) => events.map(({ data, event }) => `${event} ${data}`)

describe("an event stream by hand", () => {
  it.live("begins with what the next requests show, and goes on with the welcome", () =>
    Effect.gen(function* () {
      const { plain } = yield* serve({ heartbeat: "7 seconds" })
      const stream = yield* open(plain, hello, { "Millrace-Protocol": "other, millrace.json" })
      yield* eventually(() => stream.events.length > 1)
      assert.strictEqual(stream.response.headers["content-type"], "text/event-stream")
      const { heartbeat, protocol, session } = JSON.parse(stream.events[0]!.data) as Record<string, unknown>
      assert.deepStrictEqual([stream.events[0]!.event, heartbeat, protocol], ["open", 7_000, "millrace.json"])
      assert.match(session as string, /^[\w-]{22}$/)
      const [kind, welcome] = JSON.parse(stream.events[1]!.data) as [string, { readonly session: string }]
      assert.strictEqual(kind, "welcome")
      assert.notStrictEqual(welcome.session, session)
    })
  )

  it.live("takes messages in any of the bodies, and answers them", () =>
    Effect.gen(function* () {
      const { plain, seen } = yield* serve()
      const stream = yield* open(plain)
      const post = (type: string, body: string | Uint8Array) =>
        ask(plain, "POST", { "Millrace-Session": stream.secret, "Content-Type": type }, body)
      assert.strictEqual((yield* post("application/x-ndjson", '["emit","say","a"]\n["emit","say","b"]\n')).status, 204)
      assert.strictEqual((yield* post("application/json", '[\n"ask", 1, "rename", "Grace"]')).status, 204)
      yield* eventually(() => dataOf(stream).includes('message ["ok",1,"ada:Grace"]'))
      assert.deepStrictEqual(seen.said, ["a", "b"])
      assert.strictEqual((yield* post("text/plain", "x")).status, 415)
      assert.strictEqual((yield* post("application/json", Uint8Array.of(0xff))).status, 400)
      // What was refused does no harm.
      assert.strictEqual((yield* post("application/x-ndjson", '["emit","say","c"]')).status, 204)
    })
  )

  it.live("takes each numbered POST once, and in order", () =>
    Effect.gen(function* () {
      const { plain, seen } = yield* serve()
      const stream = yield* open(plain)
      const post = (number: number) =>
        Effect.map(
          ask(
            plain,
            "POST",
            { ...lines, "Millrace-Session": stream.secret, "Millrace-Sequence": `${number}` },
            `["emit","say","${number}"]`
          ),
          ({ status }) => status
        )
      const statuses = yield* Effect.forEach([1, 1, 3, 2, 2, 3], post)
      assert.deepStrictEqual(statuses, [204, 409, 409, 204, 409, 204])
      assert.deepStrictEqual(seen.said, ["1", "2", "3"])
    })
  )

  it.live("takes one POST at a time", () =>
    Effect.gen(function* () {
      const { plain } = yield* serve()
      const stream = yield* open(plain)
      const slow = http.request(plain, { method: "POST", headers: { ...lines, "Millrace-Session": stream.secret } })
      yield* Effect.addFinalizer(() => Effect.sync(() => slow.on("error", () => {}).destroy()))
      slow.write('["emit",')
      yield* settled
      assert.strictEqual((yield* ask(plain, "POST", { ...lines, "Millrace-Session": stream.secret }, "[]")).status, 409)
    })
  )

  it.live("ends with DELETE, in the words of the client", () =>
    Effect.gen(function* () {
      const { plain, seen } = yield* serve()
      const stream = yield* open(plain)
      yield* eventually(() => seen.sessions.length === 1)
      const { status } = yield* ask(plain, "DELETE", {
        "Millrace-Session": stream.secret,
        "Millrace-Close": "4000 bye%20now"
      })
      assert.strictEqual(status, 204)
      yield* eventually(() => stream.ended)
      assert.strictEqual(dataOf(stream).at(-1), 'close {"code":4000,"reason":"bye now"}')
      const { reason } = yield* Effect.flip(seen.sessions[0]!.ended)
      assert.include(reason.message, "4000 bye now")
      assert.strictEqual((yield* ask(plain, "POST", { ...lines, "Millrace-Session": stream.secret }, "[]")).status, 404)
    })
  )

  it.live("is the end of its session when the client goes", () =>
    Effect.gen(function* () {
      const { connections, plain, seen } = yield* serve()
      const stream = yield* open(plain)
      yield* eventually(() => seen.sessions.length === 1)
      stream.response.destroy()
      yield* Effect.flip(seen.sessions[0]!.ended)
      yield* eventually(() => connections() === 0)
    })
  )

  it.live("is none when the client goes while it opens, whoever yields in between", () =>
    logged((entries) =>
      Effect.gen(function* () {
        for (let ops = 3; ops <= 40; ops++) {
          const { connections, plain } = yield* Effect.provideService(serve(), Scheduler.MaxOpsBeforeYield, ops)
          const gone = Effect.callback<void>((resume) => {
            const sent = http.request(plain, { method: "POST", headers: lines, agent: false }, () => sent.destroy())
            sent.on("error", () => {}).on("close", () => resume(Effect.void))
            sent.end(hello)
          })
          yield* Effect.replicateEffect(gone, 5, { concurrency: 5 })
          yield* eventually(() => connections() === 0)
        }
        assert.deepStrictEqual(
          entries.filter(({ level }) => level === "Error"),
          []
        )
      })
    )
  )

  it.live.each([
    ["wrong credentials", hello.replace("ada", "wrong"), 4501],
    ["another contract", hello.replace("chat", "other"), 4500],
    ["something else", "[]", 4400]
  ] as const)("ends with the code of the session for %s", ([, body, code]) =>
    Effect.gen(function* () {
      const { plain } = yield* serve()
      const stream = yield* open(plain, body)
      yield* eventually(() => stream.ended)
      const last = stream.events.at(-1)!
      assert.deepStrictEqual([last.event, (JSON.parse(last.data) as { readonly code: number }).code], ["close", code])
    })
  )

  it.live("ends when nobody says hello", () =>
    Effect.gen(function* () {
      const { plain } = yield* serve({ limits: { helloTimeout: 50 } })
      const stream = yield* open(plain, "")
      yield* eventually(() => stream.ended)
      assert.include(dataOf(stream).at(-1)!, "4408")
    })
  )

  it.live("is what curl needs no library for", () =>
    Effect.gen(function* () {
      const { plain } = yield* serve()
      const curl = yield* Effect.acquireRelease(
        Effect.sync(() => spawn("curl", ["-sSN", "-H", "Content-Type: application/json", "-d", hello, plain])),
        (child) => Effect.sync(() => child.kill())
      )
      let text = ""
      curl.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      yield* eventually(() => text.includes("welcome"))
      const secret = /"session":"([\w-]{22})","protocol"/.exec(text)![1]!
      const question = spawn("curl", [
        ..."-sS -w %{http_code} -H Content-Type:application/json -H".split(" "),
        `Millrace-Session: ${secret}`,
        "-d",
        '["ask",1,"rename","Grace"]',
        plain
      ])
      let status = ""
      question.stdout.setEncoding("utf8").on("data", (chunk: string) => (status += chunk))
      yield* eventually(() => text.includes('data: ["ok",1,"ada:Grace"]\n\n'))
      yield* eventually(() => status === "204")
    })
  )
})

describe("what is refused", () => {
  it.live("is every request for a connection that is not there", () =>
    Effect.gen(function* () {
      const { plain } = yield* serve()
      const headers = { ...lines, "Millrace-Session": "0123456789abcdefghijkl" }
      assert.strictEqual((yield* ask(plain, "POST", headers, "[]")).status, 404)
      assert.strictEqual((yield* ask(plain, "DELETE", headers)).status, 404)
      assert.strictEqual((yield* ask(plain, "DELETE")).status, 404)
    })
  )

  it.live("is another method, another type, another path", () =>
    Effect.gen(function* () {
      const { plain } = yield* serve()
      const get = yield* ask(plain, "GET")
      assert.deepStrictEqual([get.status, get.headers.allow], [405, "POST, DELETE, OPTIONS"])
      assert.strictEqual((yield* ask(plain, "POST", { ...lines, Accept: "text/html" }, hello)).status, 406)
      assert.strictEqual((yield* ask(`${plain}/x`, "POST", lines, hello)).status, 404)
      assert.strictEqual((yield* ask(plain, "POST", { "Content-Type": "text/plain" }, hello)).status, 415)
      for (const coding of ["gzip", "identity, gzip"]) {
        assert.strictEqual((yield* ask(plain, "POST", { ...lines, "Content-Encoding": coding }, hello)).status, 415)
      }
      yield* open(plain, hello, { "Content-Encoding": "Identity" })
    })
  )

  it.live("is a page of another origin, with every method", () =>
    Effect.gen(function* () {
      const { plain, port } = yield* serve()
      const wrong = { ...lines, Origin: "https://evil.example" }
      for (const method of ["POST", "OPTIONS", "DELETE"]) {
        const { headers, status } = yield* ask(plain, method, wrong, method === "POST" ? hello : undefined)
        assert.deepStrictEqual([status, headers["access-control-allow-origin"]], [403, undefined])
      }
      const own = yield* open(plain, hello, { Origin: `http://127.0.0.1:${port}` })
      assert.strictEqual(own.response.statusCode, 200)
    })
  )

  it.live("is not a page that is allowed, which may ask first and reads the answers", () =>
    Effect.gen(function* () {
      const origin = Result.getOrThrow(Origin.allow(["https://app.example"]))
      const { plain } = yield* serve({ origin })
      const asked = yield* ask(plain, "OPTIONS", {
        Origin: "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,millrace-session"
      })
      assert.strictEqual(asked.status, 204)
      assert.include(asked.headers["access-control-allow-headers"]!, "Millrace-Session")
      assert.include(asked.headers["access-control-allow-methods"], "DELETE")
      const stream = yield* open(plain, hello, { Origin: "https://app.example" })
      assert.strictEqual(stream.response.headers["access-control-allow-origin"], "https://app.example")
      const gone = yield* ask(plain, "POST", { ...lines, Origin: "https://app.example", "Millrace-Session": "x" }, "[]")
      assert.deepStrictEqual([gone.status, gone.headers["access-control-allow-origin"]], [404, "https://app.example"])
    })
  )

  it.live("is whoever `handshake` refuses, over both ways", () =>
    Effect.gen(function* () {
      const { address, plain } = yield* serve({
        handshake: ({ header, path, query }) =>
          header("Authorization") === "Bearer 1" && path === "/chat" && query.get("room") === "1"
            ? Effect.void
            : NodeSessionServer.refuse(401, { headers: [["WWW-Authenticate", "Bearer"]], body: "who are you?\n" })
      })
      const refused = yield* ask(plain, "POST", lines, hello)
      assert.deepStrictEqual(
        [refused.status, refused.headers["www-authenticate"], refused.text],
        [401, "Bearer", "who are you?\n"]
      )
      for (const way of ["webSocket", "eventStream"] as const) {
        const error = (yield* Effect.flip(connect(way, address))) as { readonly reason: { readonly status: number } }
        assert.strictEqual(error.reason.status, 401)
      }
      const stream = yield* open(`${plain}?room=1`, hello, { Authorization: "Bearer 1" })
      yield* eventually(() => stream.events.length > 1)
    })
  )

  it.live("is a request that does not come to its end in time", () =>
    Effect.gen(function* () {
      const { connections, plain } = yield* serve({ handshakeTimeout: "100 millis" })
      const sent = http.request(plain, { method: "POST", headers: lines, agent: false })
      yield* Effect.addFinalizer(() => Effect.sync(() => sent.on("error", () => {}).destroy()))
      const status = yield* Effect.callback<number | undefined>((resume) => {
        sent.on("response", ({ statusCode }) => resume(Effect.succeed(statusCode)))
        sent.write('["hello",')
      })
      assert.deepStrictEqual([status, connections()], [408, 0])
    })
  )

  it.live("is a first message over maxHelloBytes, before it is read", () =>
    Effect.gen(function* () {
      const { connections, plain } = yield* serve()
      const { status } = yield* ask(plain, "POST", lines, hello + " ".repeat(20_000))
      assert.deepStrictEqual([status, connections()], [413, 0])
      const stream = yield* open(plain, "")
      const headers = { ...lines, "Millrace-Session": stream.secret }
      assert.strictEqual((yield* ask(plain, "POST", headers, hello + " ".repeat(20_000))).status, 413)
      yield* eventually(() => stream.ended)
    })
  )

  it.live(
    "is a body over maxMessageBytes and 64 KiB, and a message over maxMessageBytes, which end the session with 1009",
    () =>
      Effect.gen(function* () {
        const { plain, seen } = yield* serve({ limits: { maxMessageBytes: 1_000 } })
        for (const [length, expected] of [
          [66_536, 413],
          [1_000, 204]
        ] as const) {
          const stream = yield* open(plain)
          yield* eventually(() => stream.events.length > 1)
          const body = `["emit","say","${"x".repeat(length)}"]`
          const { status } = yield* ask(plain, "POST", { ...lines, "Millrace-Session": stream.secret }, body)
          assert.strictEqual(status, expected)
          yield* eventually(() => stream.ended)
          assert.strictEqual(dataOf(stream).at(-1), 'close {"code":1009,"reason":"message too big"}')
        }
        assert.deepStrictEqual(seen.said, [])
      })
  )
})

describe("a server", () => {
  it.live("makes who posts wait while its handler does not read, and keeps no more than its inbox and one body", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const gate = yield* Deferred.make<void>()
      const server = yield* NodeSessionServer.serve(
        Chat,
        { authenticate, limits: { maxPending: 1, inboxBytes: 1_000 } },
        (session) =>
          session.handle({
            ...handlersOf(session, { said, made: 0, interrupted: 0, sessions: [] }),
            say: (text: string) =>
              Effect.andThen(
                Deferred.await(gate),
                Effect.sync(() => said.push(text))
              )
          })
      )
      const chat = yield* connect("eventStream", server.url)
      const all = Array.from({ length: 3_000 }, (_, i) => `${i}`.padEnd(1_000, "."))
      let sent = 0
      yield* Effect.forkScoped(
        Effect.forEach(all, (text) =>
          Effect.andThen(
            chat.emit("say", text),
            Effect.sync(() => sent++)
          )
        )
      )
      for (let before = -1; before !== sent;) {
        before = sent
        for (let i = 0; i < 10; i++) yield* settled
      }
      // The outbox of the client, one body and the inbox.
      assert.isBelow(sent, 1_200)
      assert.isAbove(sent, 1_000)
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(() => said.length === all.length)
      assert.deepStrictEqual(said, all)
    })
  )

  it.live("waits for a client that does not read, and cuts it after stallTimeout", () =>
    Effect.gen(function* () {
      const { plain, seen } = yield* serve({ stallTimeout: "300 millis", limits: { outboxBytes: 10_000 } })
      const stream = yield* open(plain)
      yield* eventually(() => seen.sessions.length === 1)
      stream.response.pause()
      const [session] = seen.sessions
      let sent = 0
      const speak = Effect.forever(
        Effect.tap(
          session!.emit("said", { from: "", text: "x".repeat(10_000) }),
          Effect.sync(() => sent++)
        )
      )
      const exit = yield* Effect.exit(speak)
      assert.isTrue(Exit.isFailure(exit))
      // What the sockets of both ends hold, and no more.
      assert.isBelow(sent * 10_000, 20_000_000)
    })
  )

  it.live("ends with 1001 over both ways, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const before = resources()
      yield* Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { address, plain, seen } = yield* Scope.provide(serve(), scope)
        const streams = [yield* open(plain), yield* open(plain)]
        const wire = yield* ways.webSocket(address)
        yield* Session.connect(Chat, wire, { credentials })
        yield* eventually(() => seen.sessions.length === 3)
        yield* Scope.close(scope, Exit.void)
        yield* eventually(() => streams.every(({ ended }) => ended))
        for (const stream of streams) assert.strictEqual(dataOf(stream).at(-1), 'close {"code":1001,"reason":""}')
        assert.deepInclude(yield* wire.closed, { by: "remote", received: { code: 1001, reason: "" } })
      }).pipe(Effect.scoped)
      yield* backTo(before)
    })
  )

  it.live("that is there already has sessions beside what it serves", () =>
    Effect.gen(function* () {
      const seen: Seen = { said: [], made: 0, interrupted: 0, sessions: [] }
      const server = http.createServer()
      const { port } = yield* NodeSessionServer.listen(server, {})
      const attached = yield* NodeSessionServer.attach(server, Chat, { path: "/chat", authenticate }, (session) =>
        session.handle(handlersOf(session, seen))
      )
      server.on("request", (request, response) => {
        if (!attached.respond(request, response)) response.end("something else")
      })
      const address = `ws://127.0.0.1:${port}/chat`
      for (const way of ["webSocket", "eventStream"] as const) {
        const chat = yield* connect(way, address)
        assert.strictEqual(yield* chat.request("rename", "Grace"), "ada:Grace")
      }
      yield* eventually(() => attached.connections() === 2)
      assert.strictEqual((yield* ask(`http://127.0.0.1:${port}/`, "GET")).text, "something else")
    })
  )

  it.live("speaks HTTP/2, too", () =>
    Effect.gen(function* () {
      const { plain, port } = yield* serve({ http2: true })
      const session = yield* Effect.acquireRelease(
        Effect.sync(() => http2.connect(`http://127.0.0.1:${port}`)),
        (session) => Effect.sync(() => session.destroy())
      )
      const post = (headers: http2.OutgoingHttpHeaders, body: string) => {
        const stream = session.request({ ":method": "POST", ":path": "/chat", ...lines, ...headers })
        stream.end(body)
        return stream.setEncoding("utf8")
      }
      let text = ""
      post({}, hello).on("data", (chunk: string) => (text += chunk))
      yield* eventually(() => text.includes("welcome"))
      const secret = /"session":"([\w-]{22})","protocol"/.exec(text)![1]!
      let status: number | undefined
      post({ "millrace-session": secret }, '["ask",1,"rename","Grace"]').on("response", (headers) => {
        status = headers[":status"]
      })
      yield* eventually(() => text.includes('data: ["ok",1,"ada:Grace"]\n\n') && status === 204)
      // HTTP/1.1 is there as well.
      yield* open(plain)
    })
  )
})
