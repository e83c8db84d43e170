/**
 * Nodes that have said where clients reach them: a page that one of them has served may go to the others, and a page of
 * another site may not.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Origin from "@millrace/core/codec/Origin"
import * as HubServer from "@millrace/node/HubServer"
import * as WorkersBroker from "@millrace/node/brokers/WorkersBroker"
import { eventually } from "../support/eventually.ts"
import { folder } from "../support/folder.ts"
import * as RawPeer from "../support/RawPeer.ts"

/** A node for each address, which know of each other. */
const cluster = (addresses: ReadonlyArray<string | undefined>, options: HubServer.Options = {}) =>
  Effect.gen(function* () {
    const directory = yield* folder
    const nodes = yield* Effect.forEach(addresses, (advertise, i) =>
      Effect.gen(function* () {
        const broker = yield* WorkersBroker.make({ directory, host: i === 0 })
        yield* eventually(() => broker.status()._tag === "Up")
        return yield* HubServer.serve({ ...options, broker, advertise })
      })
    )
    yield* eventually(() => nodes.every(({ cluster }) => cluster.nodes.list().length === nodes.length))
    return nodes
  })

const upgraded = (port: number, origin: string) =>
  Effect.gen(function* () {
    const peer = yield* RawPeer.connect(port)
    peer.send(RawPeer.upgradeRequest("/ws", { Host: `127.0.0.1:${port}`, Origin: origin }))
    return (yield* peer.head).status
  })

const ask = (port: number, path: string, origin: string, init: RequestInit = {}) =>
  Effect.promise(async () => {
    const headers = { ...(init.headers as Record<string, string>), origin }
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers })
    await response.body?.cancel()
    return [response.status, response.headers.get("access-control-allow-origin")] as const
  })

const body = JSON.stringify({ topic: "t", data: 1 })
const post = { method: "POST", headers: { "content-type": "application/json" }, body }

const connectSources = (port: number) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}/`)
    await response.body?.cancel()
    const [, sources] = /connect-src ([^;]*)/.exec(response.headers.get("content-security-policy") ?? "") ?? []
    return sources?.split(" ")
  })

describe("the nodes that clients can reach", () => {
  it.live("let in pages of each other, and nobody else's", () =>
    Effect.gen(function* () {
      const [one] = yield* cluster(["https://one.example/", "wss://two.example:8443/hub/"])
      const origins = [
        ["https://one.example", true],
        ["https://two.example:8443", true],
        ["https://two.example", false],
        ["https://three.example", false]
      ] as const
      for (const [origin, isLetIn] of origins) {
        const allowed = isLetIn ? origin : null
        assert.deepStrictEqual([origin, yield* upgraded(one!.port, origin)], [origin, isLetIn ? 101 : 403])
        for (const path of ["/events?topic=t", "/topics", "/topics/t/presence"]) {
          const answer = yield* ask(one!.port, path, origin)
          assert.deepStrictEqual([path, ...answer], [path, isLetIn ? 200 : 403, allowed])
        }
        assert.deepStrictEqual(yield* ask(one!.port, "/health", origin), [200, allowed])
        // A browser asks before it posts, and posts nothing where it is not let in.
        const preflight = { method: "OPTIONS", headers: { "access-control-request-method": "POST" } }
        assert.deepStrictEqual(yield* ask(one!.port, "/publish", origin, preflight), [isLetIn ? 204 : 405, allowed])
        assert.deepStrictEqual(yield* ask(one!.port, "/publish", origin, post), [200, allowed])
      }
    })
  )

  it.live("are where the page may go, and where /health says that there are more", () =>
    Effect.gen(function* () {
      const [one] = yield* cluster(["https://one.example/", "wss://two.example:8443/hub/", "https://a;b,c.example/"])
      assert.deepStrictEqual(yield* connectSources(one!.port), [
        "'self'",
        "https://one.example",
        "wss://one.example",
        "https://two.example:8443",
        "wss://two.example:8443"
      ])
      const { nodes } = yield* Effect.promise(async () => (await fetch(`http://127.0.0.1:${one!.port}/health`)).json())
      assert.deepStrictEqual(nodes, ["https://one.example/", "wss://two.example:8443/hub/", "https://a;b,c.example/"])
    })
  )

  it.live("are nobody to one that clients are not told of, and to one whose operator has said who may connect", () =>
    Effect.gen(function* () {
      const [, silent] = yield* cluster(["https://one.example/", undefined])
      assert.deepStrictEqual(yield* connectSources(silent!.port), ["'self'"])
      assert.strictEqual(yield* upgraded(silent!.port, "https://one.example"), 403)
      const told = yield* cluster(["https://one.example/", "https://two.example/"], { origin: Origin.any })
      const preflight = yield* ask(told[1]!.port, "/publish", "https://one.example", { method: "OPTIONS" })
      assert.deepStrictEqual(preflight, [405, null])
      const only = yield* cluster(["https://one.example/", "https://two.example/"], { origin: Origin.sameOrigin })
      assert.strictEqual(yield* upgraded(only[1]!.port, "https://one.example"), 403)
    })
  )
})
