/** `millrace serve --workers`: several processes that serve as one, and are killed. */
import { get } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { io } from "socket.io-client"
import { run } from "../../support/command.ts"
import { eventually } from "../../support/eventually.ts"
import * as HubClient from "../../support/hubClient.ts"
import { connectionsOf, isAlive, type Workers, workers } from "../../support/workerProcesses.ts"

const clients = (port: number, count: number) =>
  Effect.forEach(
    Array.from({ length: count }),
    () =>
      Effect.gen(function* () {
        const client = yield* HubClient.connect(port)
        yield* HubClient.subscribe(client, "t")
        return client
      }),
    { concurrency: 10 }
  )

const publish = (port: number, data: unknown) =>
  Effect.promise(async () => {
    const body = JSON.stringify({ topic: "t", data })
    const headers = { "Content-Type": "application/json" }
    const { status } = await fetch(`http://127.0.0.1:${port}/publish`, { method: "POST", body, headers })
    return status
  })

/** The next message, not what else a hub may have to say. */
const hear = (client: HubClient.HubClient) =>
  Effect.repeat(client.hear, { while: ({ type }) => type !== "message" }).pipe(Effect.map(({ data }) => data))

/** Publishes until it is taken: while the log is on its way to another process, it is not. */
const publishUntilTaken = (port: number, data: unknown) =>
  Effect.repeat(
    Effect.catchDefect(publish(port, data), () => Effect.succeed(0)),
    {
      while: (status) => status !== 200,
      schedule: Schedule.spaced("50 millis")
    }
  )

/** Everybody hears it, on whichever worker they are. */
const reaches = ({ port }: Workers, all: ReadonlyArray<HubClient.HubClient>, data: string) =>
  Effect.gen(function* () {
    yield* publishUntilTaken(port, data)
    for (const client of all) {
      yield* Effect.repeat(hear(client), { while: (heard) => heard !== data })
    }
  })

/** How many members the topic has, as the worker says to whom a new connection comes. */
const membersOf = ({ port }: Workers) =>
  Effect.callback<number>((resume) => {
    get(`http://127.0.0.1:${port}/topics/t/presence`, { agent: false }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (chunk) => (body += chunk))
      response.on("end", () => resume(Effect.succeed((JSON.parse(body) as { readonly members: number }).members)))
    })
  })

/** Each of two workers knows of the other, where one of them has the one member: twenty answers are from both. */
const haveMet = (hub: Workers) =>
  Effect.repeat(
    Effect.forEach(Array.from({ length: 20 }), () => membersOf(hub)),
    { while: (counts) => counts.some((count) => count !== 1) }
  )

describe("serve --workers", () => {
  it.live("is one hub on one port, with connections on each worker, about as many", () =>
    Effect.gen(function* () {
      const hub = yield* workers(3)
      expect(hub.pids()).toHaveLength(3)
      const all = yield* clients(hub.port, 90)
      const shares = connectionsOf(hub.pids(), hub.port)
      expect(shares.reduce((sum, share) => sum + share, 0)).toBe(90)
      // The system throws dice: 30 each, and one in a million times less than 10.
      for (const share of shares) expect(share).toBeGreaterThanOrEqual(10)
      yield* reaches(hub, all, "hello")
      expect(hub.command.stdout).toMatch(/^millrace: the hub is at http:\/\/localhost:\d+\/ .*Ctrl-C ends it\n$/)
      expect(hub.command.stderr).toBe("")
    }).pipe(Effect.scoped)
  )

  it.live("serves clients of Socket.IO that poll, to whichever worker a poll comes", () =>
    Effect.gen(function* () {
      const hub = yield* workers(2)
      const native = yield* HubClient.connect(hub.port)
      yield* HubClient.subscribe(native, "t")
      yield* haveMet(hub)
      const clients = yield* Effect.forEach(Array.from({ length: 6 }), () =>
        Effect.acquireRelease(
          Effect.sync(() => io(`http://127.0.0.1:${hub.port}`, { transports: ["polling"], forceNew: true })),
          (client) => Effect.sync(() => client.disconnect())
        )
      )
      const heard = clients.map((client) => {
        const events: Array<unknown> = []
        client.on("n", (n: unknown) => void events.push(n))
        return events
      })
      for (const client of clients) {
        const answer = yield* Effect.promise(() => client.emitWithAck("subscribe", "t") as Promise<object>)
        expect(answer).not.toHaveProperty("error")
      }
      for (const [n, client] of clients.entries()) {
        const answer = yield* Effect.promise(() => client.emitWithAck("publish", "t", "n", n) as Promise<object>)
        expect(answer).not.toHaveProperty("error")
        expect(yield* hear(native)).toEqual(["n", n])
      }
      yield* eventually(() => heard.every(({ length }) => length === clients.length))
      for (const events of heard) expect(events).toEqual([...clients.keys()])
    }).pipe(Effect.scoped)
  )

  it.live("goes on when a worker is killed, and starts another", () =>
    Effect.gen(function* () {
      const hub = yield* workers(2)
      yield* clients(hub.port, 10)
      const [killed = 0, other = 0] = hub.pids()
      const [lost] = connectionsOf([killed], hub.port)
      process.kill(killed, "SIGKILL")
      yield* hub.command.reports(/worker [12] has died \(SIGKILL\); another is started in 0\.1 s\n/)
      yield* eventually(() => !isAlive(killed))
      expect(connectionsOf([other], hub.port)).toEqual([10 - lost!])
      yield* eventually(() => hub.pids().length === 2)
      const [, another = 0] = hub.pids()
      // In the end the new one has some, too.
      const more = yield* Effect.repeat(clients(hub.port, 10), {
        while: () => connectionsOf([another], hub.port)[0] === 0,
        schedule: Schedule.spaced("50 millis")
      })
      expect(more).toBeDefined()
      const some = yield* clients(hub.port, 10)
      yield* reaches(hub, some, "after")
    }).pipe(Effect.scoped)
  )

  it.live("goes on when the first process is killed: a worker has the log then", () =>
    Effect.gen(function* () {
      const hub = yield* workers(2)
      const all = yield* clients(hub.port, 10)
      yield* reaches(hub, all, "before")
      const pids = hub.pids()
      hub.command.signal("SIGKILL")
      yield* hub.command.reports(/worker [12] has the log of all from now on\n/)
      yield* reaches(hub, all, "after")
      const more = yield* clients(hub.port, 10)
      yield* reaches(hub, [...all, ...more], "and later")
      expect(pids.filter(isAlive)).toEqual(pids)
    }).pipe(Effect.scoped)
  )

  it.live.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("ends all of them in good order at %s", (signal) =>
    Effect.gen(function* () {
      const hub = yield* workers(2)
      const [client] = yield* clients(hub.port, 1)
      const pids = hub.pids()
      hub.command.signal(signal)
      const { code, stderr } = yield* hub.command.end
      expect([code, stderr]).toEqual([0, ""])
      expect(pids.filter(isAlive)).toEqual([])
      const { opcode, payload } = yield* client!.peer.frame
      expect([opcode, payload[0]! * 256 + payload[1]!]).toEqual([8, 1001])
    }).pipe(Effect.scoped)
  )

  it.live("ends all of them at once at the second Ctrl-C", () =>
    Effect.gen(function* () {
      const hub = yield* workers(2)
      // Clients that do not answer the Close, which is waited for as long as 5 s.
      const [client] = yield* clients(hub.port, 10)
      const pids = hub.pids()
      hub.command.signal("SIGINT")
      expect((yield* client!.peer.frame).opcode).toBe(8)
      hub.command.signal("SIGINT")
      const asked = performance.now()
      yield* eventually(() => pids.every((pid) => !isAlive(pid)))
      expect(performance.now() - asked).toBeLessThan(4_000)
      expect((yield* hub.command.end).code).toBe(130)
    }).pipe(Effect.scoped)
  )

  it.live("shares its port with no other: who comes second is told", () =>
    Effect.gen(function* () {
      const { port } = yield* workers(2)
      const { code, stderr, stdout } = yield* run(["serve", "--port", `${port}`, "--workers", "2"])
      expect([code, stdout]).toEqual([1, ""])
      expect(stderr).toBe(`millrace: 127.0.0.1:${port} is in use already; choose another with --host and --port\n`)
    }).pipe(Effect.scoped)
  )

  it.live("says what is wrong with a number of workers that is none", () =>
    Effect.gen(function* () {
      for (const number of ["0", "-1", "1.5", "many"]) {
        const { code, stderr } = yield* run(["serve", "--workers", number])
        expect([code, stderr.includes("a number from 1 to 999")]).toEqual([1, true])
      }
    })
  )
})
