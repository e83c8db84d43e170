/** `millrace serve --broker`: several processes that are one hub. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { vi } from "vitest"
import { run, server } from "../../support/command.ts"
import { describeWith } from "../../support/describeWith.ts"
import * as HubClient from "../../support/hubClient.ts"
import { natsServer } from "../../support/natsServer.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"
import { redisServer } from "../../support/redisServer.ts"

interface Health {
  readonly status: string
  readonly broker: { readonly name: string; readonly status: string }
}

const health = (port: number) =>
  Effect.promise(async () => (await (await fetch(`http://127.0.0.1:${port}/health`)).json()) as Health)

const until = (port: number, status: string) => Effect.repeat(health(port), { until: (one) => one.status === status })

/** Two nodes on one server, with what each may be told. */
const twoNodes = (broker: string, ...flags: ReadonlyArray<string>) =>
  Effect.all([server("serve", "--broker", broker, ...flags), server("serve", "--broker", broker, ...flags)], {
    concurrency: "unbounded"
  })

const suite = (name: "redis" | "nats", real: typeof redisServer | typeof natsServer) => {
  it.live(`on ${name} are one hub, and a client goes on at the other when its node is killed`, () =>
    Effect.gen(function* () {
      const { url } = yield* real()
      const [one, two] = yield* twoNodes(url)
      for (const { port } of [one, two]) yield* until(port, "ok")
      expect((yield* health(one.port)).broker).toMatchObject({ name, status: "up" })
      const ada = yield* HubClient.connect(one.port, "ada")
      const bob = yield* HubClient.connect(two.port, "bob")
      yield* HubClient.subscribe(ada, "t")
      const publish = (data: number) =>
        Effect.gen(function* () {
          bob.say({ type: "publish", topic: "t", data, id: data })
          expect(yield* bob.hear).toMatchObject({ type: "published", id: data })
        })
      let position: unknown
      for (const n of [1, 2, 3]) {
        yield* publish(n)
        const heard = yield* ada.hear
        expect(heard["data"]).toBe(n)
        position = heard["position"]
      }
      one.command.signal("SIGKILL")
      for (const n of [4, 5]) yield* publish(n)
      const again = yield* HubClient.connect(two.port, "ada")
      again.say({ type: "subscribe", topic: "t", position })
      expect(yield* again.hear).toMatchObject({ type: "subscribed", position })
      yield* publish(6)
      for (const n of [4, 5, 6]) expect((yield* again.hear)["data"]).toBe(n)
    })
  )
}

describeWith("redis-server")("nodes", () => {
  suite("redis", redisServer)

  it.live(
    "say that Redis has gone and that it is back, serve their own meanwhile, and wait as long as they are told",
    () =>
      Effect.gen(function* () {
        const real = yield* redisServer()
        const [one, two] = yield* twoNodes(real.url, "--when-down", "60s")
        for (const { port } of [one, two]) yield* until(port, "ok")
        const ada = yield* HubClient.connect(one.port)
        yield* HubClient.subscribe(ada, "t")
        yield* real.kill
        yield* until(one.port, "degraded")
        yield* one.command.reports(/^millrace: redis: .*; trying again, members of this node are served meanwhile$/m)
        ada.say({ type: "publish", topic: "t", data: 1, id: 1 })
        const heard = yield* ada.hear
        expect(heard).toMatchObject({ type: "message", data: 1 })
        expect(heard).not.toHaveProperty("position")
        yield* real.restart
        yield* one.command.reports(/^millrace: redis: the broker is back$/m)
        const types = []
        for (let i = 0; i < 3 && types.at(-1) !== "published"; i++) types.push((yield* ada.hear).type)
        expect(types).toContain("published")
      })
  )
})

describeWith("nats-server")("nodes", () => {
  suite("nats", natsServer)
})

describe("a broker that is not there", () => {
  it.live("is waited for: the hub is up, degraded, and says why", () =>
    Effect.gen(function* () {
      const { command, port } = yield* server("serve", "--broker", `redis://u:s3cret@127.0.0.1:${nobodysPort}`)
      yield* command.reports(/^millrace: redis: .*trying again/m)
      expect((yield* health(port)).status).toBe("degraded")
      expect(command.stderr).not.toContain("s3cret")
    })
  )

  it.live("is a sentence with what to install, when its package is missing", () =>
    Effect.gen(function* () {
      const hooks =
        'import{registerHooks}from"node:module";registerHooks({resolve(s,c,n){if(s==="ioredis")' +
        'throw Object.assign(new Error("no"),{code:"ERR_MODULE_NOT_FOUND"});return n(s,c)}})'
      vi.stubEnv("NODE_OPTIONS", `--import data:text/javascript,${encodeURIComponent(hooks)}`)
      const { code, stderr } = yield* Effect.ensuring(
        run(["serve", "--port", "0", "--broker", "redis://localhost"]),
        Effect.sync(() => vi.unstubAllEnvs())
      )
      expect([code, stderr]).toEqual([
        1,
        "millrace: --broker redis: needs a package that is not installed: npm install ioredis\n"
      ])
    })
  )
})

it.live("--history-size and --history-age say what is kept for who comes back", () =>
  Effect.gen(function* () {
    const { port } = yield* server("serve", "--history-size", "2", "--history-age", "1h")
    const ada = yield* HubClient.connect(port)
    for (const data of [1, 2, 3]) ada.say({ type: "publish", topic: "t", data, id: data })
    for (let i = 0; i < 3; i++) yield* ada.hear
    const response = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/topics/t/history`))
    const { entries } = (yield* Effect.promise(() => response.json())) as { entries: ReadonlyArray<{ data: number }> }
    expect(entries.map(({ data }) => data)).toEqual([2, 3])
  })
)

it.live("--slow-consumer drop-newest leaves a slow client connected, and counts what it did not get", () =>
  Effect.gen(function* () {
    const { port } = yield* server("serve", "--slow-consumer", "drop-newest", "--advertise", "https://one.example.com/")
    const slow = yield* HubClient.connect(port)
    yield* HubClient.subscribe(slow, "t")
    slow.peer.socket.pause()
    const ada = yield* HubClient.connect(port)
    const data = "x".repeat(500_000)
    let dropped = 0
    while (dropped === 0) {
      ada.say({ type: "publish", topic: "t", data, id: 1 })
      yield* ada.hear
      dropped = ((yield* health(port)) as unknown as { slow: { dropped: number } }).slow.dropped
    }
    expect(yield* health(port)).toMatchObject({ connections: 2, slow: { disconnected: 0 } })
  })
)
