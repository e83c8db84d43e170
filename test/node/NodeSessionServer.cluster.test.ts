/** Sessions over an event stream and POST on two nodes, behind a balancer that knows nothing of sessions. */
import * as http from "node:http"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Questions from "@millrace/core/cluster/Questions"
import * as Fetch from "@millrace/core/connection/Fetch"
import * as EventStreamWire from "@millrace/core/messaging/EventStreamWire"
import * as Session from "@millrace/core/messaging/Session"
import { Chat, credentials, serve } from "../support/chatOverHttp.ts"
import { eventually } from "../support/eventually.ts"
import * as Bus from "../support/nodes.ts"

/** Two nodes that serve the same path, and a client whose requests go to one after the other in turn. */
const cluster = Effect.gen(function* () {
  const bus = yield* Bus.make(2)
  const nodes = yield* Effect.forEach(bus.brokers, (broker, index) =>
    Effect.gen(function* () {
      const nodes = yield* Nodes.make(broker, { name: `n${index}`, interval: "50 millis" })
      const questions = yield* Questions.make(broker, nodes)
      return { nodes, ...(yield* serve({ cluster: { nodes, questions } })) }
    })
  )
  yield* eventually(() => nodes.every((node) => node.nodes.list().length === 2))
  const asked: Array<string> = []
  const inTurn: typeof fetch = (input, init) => {
    const to = nodes[asked.length % 2]!
    asked.push(`${init?.method} ${asked.length % 2}`)
    return fetch(String(input).replace(/^http:\/\/[^/]+/, to.url.replace(/^ws/, "http")), init)
  }
  const wire = EventStreamWire.open(nodes[0]!.plain, {
    fetch: Fetch.fromWeb(inTurn as Fetch.WebFetch),
    subprotocols: Session.subprotocols()
  })
  const client = Effect.flatMap(wire, (opened) => Session.connect(Chat, opened, { credentials }))
  return { bus, nodes, asked, client }
})

describe("a session of which each request comes to another node", () => {
  it.live("goes on as if there were one, also with what is longer than a broker takes at a time", () =>
    Effect.gen(function* () {
      const { asked, client, nodes } = yield* cluster
      const session = yield* client
      assert.strictEqual(yield* session.request("rename", "Bob"), "ada:Bob")
      const long = new Uint8Array(700_000).map((_, i) => i % 251)
      assert.deepStrictEqual(yield* session.request("mirror", long), long.toReversed())
      for (const n of [1, 2, 3, 4, 5]) yield* session.emit("say", `${n}`)
      assert.deepStrictEqual(yield* session.request("heard"), ["1", "2", "3", "4", "5"])
      assert.deepStrictEqual(yield* Stream.runCollect(session.stream("count", 200)), numbers(200))
      assert.isTrue(asked.includes("POST 1") && asked.filter((one) => one === "POST 0").length > 1)
      assert.deepStrictEqual(
        nodes.map((node) => node.seen.sessions.length),
        [1, 0]
      )
    }).pipe(Effect.scoped)
  )

  it.live("is closed by whichever node is told", () =>
    Effect.gen(function* () {
      const { client, nodes } = yield* cluster
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* client
          yield* session.request("rename", "Bob")
          assert.strictEqual(nodes[0]!.connections(), 1)
        })
      )
      yield* eventually(() => nodes[0]!.connections() === 0)
    }).pipe(Effect.scoped)
  )
})

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

/** Opens an event stream on the first node; the secret is that of its first event. */
const opened = (url: string) =>
  Effect.gen(function* () {
    const controller = yield* Effect.acquireRelease(
      Effect.sync(() => new AbortController()),
      (controller) => Effect.sync(() => controller.abort())
    )
    const response = yield* Effect.promise(() =>
      fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/x-ndjson" },
        body: '["hello",{"contract":"chat","version":"1","credentials":{"token":"ada"}}]',
        signal: controller.signal
      })
    )
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    let text = ""
    while (!text.includes("\n\n")) text += (yield* Effect.promise(() => reader.read())).value ?? ""
    return JSON.parse(/data: (.*)/.exec(text)![1]!).session as string
  })

const post = (url: string, secret: string, body: string, headers: Readonly<Record<string, string>> = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/x-ndjson", "Millrace-Session": secret, ...headers },
      body
    })
    return [response.status, (await response.text()).trim()] as const
  })

describe("a POST at another node", () => {
  it.live("is refused as at its own: out of turn, too long, no messages", () =>
    Effect.gen(function* () {
      const { nodes } = yield* cluster
      const secret = yield* opened(nodes[0]!.plain)
      const at = (node: number, body: string, headers = {}) => post(nodes[node]!.plain, secret, body, headers)
      assert.deepStrictEqual(yield* at(1, '["event","nothing",1]'), [204, ""])
      const late = { "Millrace-Sequence": "7" }
      assert.deepStrictEqual(yield* at(1, "[]", late), yield* at(0, "[]", late))
      assert.deepStrictEqual((yield* at(1, "[]", late))[0], 409)
      const coded = { "Content-Type": "image/png" }
      assert.deepStrictEqual(yield* at(1, "[]", coded), yield* at(0, "[]", coded))
      assert.deepStrictEqual((yield* at(1, "[]", coded))[0], 415)
    }).pipe(Effect.scoped)
  )

  it.live("waits for none that is under way at its own, and is refused", () =>
    Effect.gen(function* () {
      const { nodes } = yield* cluster
      const secret = yield* opened(nodes[0]!.plain)
      const slow = http.request(nodes[0]!.plain, {
        method: "POST",
        headers: { "Content-Type": "application/x-ndjson", "Millrace-Session": secret }
      })
      const answered = new Promise((resolve) => slow.on("response", ({ statusCode }) => resolve(statusCode)))
      yield* Effect.addFinalizer(() => Effect.sync(() => slow.destroy()))
      slow.write("[")
      // It has begun when a POST at the node itself is refused.
      let [own] = yield* post(nodes[0]!.plain, secret, '["event","nothing",1]')
      while (own !== 409) [own] = yield* post(nodes[0]!.plain, secret, '["event","nothing",1]')
      assert.deepStrictEqual(yield* post(nodes[1]!.plain, secret, "[]"), [409, "one POST at a time"])
      slow.end('"event","nothing",1]')
      assert.strictEqual(yield* Effect.promise(() => answered), 204)
    }).pipe(Effect.scoped)
  )

  it.live("for a connection that nobody has, or of a node that is not there, is answered with 404", () =>
    Effect.gen(function* () {
      const { nodes } = yield* cluster
      const secret = yield* opened(nodes[0]!.plain)
      const [random, node] = [secret.slice(0, 22), secret.slice(22)]
      assert.strictEqual(node, nodes[0]!.nodes.self().id)
      for (const wrong of [`x${random.slice(1)}${node}`, `${random}nobody`, random, node]) {
        assert.strictEqual((yield* post(nodes[1]!.plain, wrong, "[]"))[0], 404)
      }
    }).pipe(Effect.scoped)
  )

  it.live("of a node that cannot be reached is to be sent again", () =>
    Effect.gen(function* () {
      const { bus, nodes } = yield* cluster
      const secret = yield* opened(nodes[0]!.plain)
      bus.down(1)
      assert.strictEqual((yield* post(nodes[1]!.plain, secret, "[]"))[0], 503)
    }).pipe(Effect.scoped)
  )
})
