import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import * as net from "node:net"
import { fileURLToPath } from "node:url"
import { connect } from "@nats-io/transport-node"
import { jetstream, jetstreamManager } from "@nats-io/jetstream"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { describeWith } from "../../support/describeWith.ts"
import { eventually } from "../../support/eventually.ts"
import { folder } from "../../support/folder.ts"
import { natsServer } from "../../support/natsServer.ts"
import { redisServer } from "../../support/redisServer.ts"

/** What is answered to that line, until it matches; `""` when the connection is refused. */
const ask = (port: number, line: string, until = /\n/): Effect.Effect<string> =>
  Effect.callback((resume) => {
    let said = ""
    const socket = net.connect(port, "127.0.0.1", () => socket.write(line))
    socket.on("data", (chunk) => {
      said += chunk.toString()
      if (until.test(said)) socket.destroy()
    })
    socket.on("error", () => {}).on("close", () => resume(Effect.succeed(said)))
    return Effect.sync(() => socket.destroy())
  })

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Appends to a stream, and says where. */
const publish = (url: string, subject: string) =>
  Effect.promise(async () => {
    const connection = await connect({ servers: url })
    const { seq } = await jetstream(connection).publish(subject, "turns")
    await connection.close()
    return seq
  })

/** How many streams there are. */
const streams = (url: string, make?: string) =>
  Effect.promise(async () => {
    const connection = await connect({ servers: url })
    const manager = await jetstreamManager(connection)
    if (make !== undefined) await manager.streams.add({ name: make, subjects: [`${make}.*`] })
    const { streams } = await manager.getAccountInfo()
    await connection.close()
    return streams
  })

const isTaken = (defect: unknown) => /port \d+ is taken/.test(String(defect))

describeWith("redis-server")("a Redis for a test", () => {
  it.live("answers, is killed, and is empty when it is started again at the same port", () =>
    Effect.gen(function* () {
      const redis = yield* redisServer()
      assert.strictEqual(redis.url, `redis://127.0.0.1:${redis.port}`)
      assert.strictEqual(yield* ask(redis.port, "PING\r\n"), "+PONG\r\n")
      assert.strictEqual(yield* ask(redis.port, "SET wheel turns\r\n"), "+OK\r\n")
      const { pid } = redis
      yield* redis.kill
      assert.isFalse(redis.isRunning)
      assert.isFalse(isAlive(pid))
      assert.strictEqual(yield* ask(redis.port, "PING\r\n"), "")
      yield* redis.restart
      assert.notStrictEqual(redis.pid, pid)
      assert.strictEqual(yield* ask(redis.port, "GET wheel\r\n"), "$-1\r\n")
    })
  )

  it.live("keeps what its arguments say, until it is to be empty", () =>
    Effect.gen(function* () {
      const redis = yield* redisServer({ args: ["--appendonly", "yes", "--appendfsync", "always"] })
      yield* ask(redis.port, "SET wheel turns\r\n")
      yield* redis.restart
      assert.strictEqual(yield* ask(redis.port, "GET wheel\r\n", /turns\r\n/), "$5\r\nturns\r\n")
      yield* redis.restartEmpty
      assert.strictEqual(yield* ask(redis.port, "GET wheel\r\n"), "$-1\r\n")
    })
  )

  it.live("says nothing while it is paused, and then what it was asked", () =>
    Effect.gen(function* () {
      const [paused, other] = yield* Effect.all([redisServer(), redisServer()])
      yield* paused.pause
      const answer = yield* Effect.forkChild(ask(paused.port, "PING\r\n"))
      yield* Effect.repeat(ask(other.port, "PING\r\n"), { times: 50 })
      assert.isUndefined(answer.pollUnsafe())
      yield* paused.resume
      assert.strictEqual(yield* Fiber.join(answer), "+PONG\r\n")
    })
  )

  it.live("is killed while it is paused, when its scope is closed, and so are all the others", () =>
    Effect.gen(function* () {
      const pids = yield* Effect.scoped(
        Effect.gen(function* () {
          const all = yield* Effect.all(
            Array.from({ length: 4 }, () => redisServer()),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(new Set(all.map((redis) => redis.port)).size, 4)
          yield* all[0]!.pause
          return all.map((redis) => redis.pid)
        })
      )
      assert.deepStrictEqual(pids.filter(isAlive), [])
    })
  )

  it.live("says what went wrong when it does not start", () =>
    Effect.gen(function* () {
      const defect = yield* Effect.flip(
        Effect.catchDefect(redisServer({ args: ["--no-such-thing", "1"] }), Effect.fail)
      )
      assert.match(String(defect), /redis-server did not start:[^]*no-such-thing/)
    })
  )

  it.live("takes a port that is named, or says that it is another's", () =>
    Effect.gen(function* () {
      // One that was free a moment ago may be another test's.
      const named = Effect.flatMap(Effect.scoped(redisServer()), ({ port }) => redisServer({ port }))
      const again: typeof named = Effect.catchDefect(named, (defect) => (isTaken(defect) ? again : Effect.die(defect)))
      const { port } = yield* again
      const defect = yield* Effect.flip(Effect.catchDefect(redisServer({ port }), Effect.fail))
      assert.match(String(defect), /port \d+ is taken/)
    })
  )

  it.live("is gone, with its folder, when the process that started it is killed", () =>
    Effect.gen(function* () {
      const program = `
        import * as Effect from "effect/Effect"
        import { redisServer } from ${JSON.stringify(new URL("../../support/redisServer.ts", import.meta.url).href)}
        Effect.runFork(Effect.scoped(Effect.gen(function* () {
          const redis = yield* redisServer()
          console.log(JSON.stringify([redis.pid, redis.port]))
          yield* Effect.never
        })))`
      const temporary = yield* folder
      const parent = spawn(process.execPath, ["--input-type=module", "--eval", program], {
        cwd: fileURLToPath(new URL("../../..", import.meta.url)),
        env: { ...process.env, TMPDIR: temporary },
        stdio: ["ignore", "pipe", "inherit"]
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => parent.kill("SIGKILL")))
      const [pid, port] = yield* Effect.callback<readonly [number, number]>((resume) => {
        parent.stdout.once("data", (chunk: Buffer) => resume(Effect.succeed(JSON.parse(chunk.toString()))))
      })
      assert.strictEqual(yield* ask(port, "PING\r\n"), "+PONG\r\n")
      assert.lengthOf(readdirSync(temporary), 1)
      parent.kill("SIGKILL")
      yield* eventually(() => !isAlive(pid) && readdirSync(temporary).length === 0)
    })
  )
})

describeWith("nats-server")("a NATS for a test", () => {
  it.live("answers, and has what its streams kept when it is started again, until it is to be empty", () =>
    Effect.gen(function* () {
      const nats = yield* natsServer()
      assert.match(yield* ask(nats.port, "PING\r\n", /PONG\r\n/), /^INFO .*PONG\r\n/s)
      assert.strictEqual(yield* streams(nats.url, "wheel"), 1)
      assert.strictEqual(yield* publish(nats.url, "wheel.a"), 1)
      const { pid } = nats
      yield* nats.kill
      assert.isFalse(isAlive(pid))
      assert.strictEqual(yield* ask(nats.port, "PING\r\n"), "")
      yield* nats.restart
      assert.strictEqual(yield* publish(nats.url, "wheel.a"), 2)
      yield* nats.restartEmpty
      assert.strictEqual(yield* streams(nats.url), 0)
    })
  )

  it.live("says nothing while it is paused", () =>
    Effect.gen(function* () {
      const [paused, other] = yield* Effect.all([natsServer(), natsServer({ args: ["--user", "ada", "--pass", "x"] })])
      yield* paused.pause
      const answer = yield* Effect.forkChild(ask(paused.port, "PING\r\n"))
      const info = yield* Effect.repeat(ask(other.port, "PING\r\n"), { times: 50 })
      assert.match(info, /"auth_required":true/)
      assert.isUndefined(answer.pollUnsafe())
      yield* paused.resume
      assert.match(yield* Fiber.join(answer), /^INFO /)
    })
  )
})
