/** What Redis refuses, and how its connections end: whose fault it was, and that both are gone. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Redis } from "ioredis"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import type * as RedisEngine from "@millrace/node/brokers/RedisEngine"
import { selfSigned } from "../../support/certificate.ts"
import { cutting } from "../../support/cuttingProxy.ts"
import { describeWith } from "../../support/describeWith.ts"
import { eventually } from "../../support/eventually.ts"
import { folder } from "../../support/folder.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"
import * as RealServer from "../../support/realServer.ts"
import { asker, bytes, opened, text } from "../../support/redisLink.ts"
import { redisServer } from "../../support/redisServer.ts"

/** `Rejected NOPERM`, or `Unavailable NotPublished READONLY`. */
const told = <A, R>(effect: Effect.Effect<A, BrokerError, R>): Effect.Effect<string, A, R> =>
  Effect.map(Effect.flip(effect), ({ message, reason }) => {
    const code = /: ([A-Z]{2,}) /.exec(message)?.[1] ?? message
    return reason._tag === "Unavailable" ? `${reason._tag} ${reason.outcome} ${code}` : `${reason._tag} ${code}`
  })

const refused = (options: RedisEngine.Options) => told(Effect.scoped(opened(options)))

const x = bytes("x")

const ask = (redis: Redis, ...words: ReadonlyArray<string | number>): Effect.Effect<unknown> =>
  Effect.promise(() => redis.call(String(words[0]), ...words.slice(1)))

const idsOf = (redis: Redis, which: RegExp): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(ask(redis, "CLIENT", "LIST"), (list) =>
    String(list)
      .split("\n")
      .filter((line) => which.test(line))
      .map((line) => /id=(\d+)/.exec(line)![1]!)
  )

/** What docs/brokers/redis.md says that a user of Redis needs. */
const rights =
  "~{millrace}:* &{millrace}:* -@all +hello +auth +select +ping +info +script|load +eval +evalsha " +
  "+subscribe +unsubscribe +ssubscribe +sunsubscribe +publish +spublish +time +get +set +del +pexpire +hset +hget +hmget " +
  "+hlen +hkeys +hdel +zadd +zrangebyscore +zremrangebyscore +xadd +xlen +xtrim +xrevrange"

describeWith("redis-server")("Redis, when it refuses", () => {
  it.live("is the operator's fault for a wrong password, or none, and lets the right one in", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer({ args: ["--requirepass", "se:cret"] })
      expect(yield* refused({ url })).toBe("Rejected NOAUTH")
      expect(yield* refused({ url, connection: { password: "other" } })).toBe("Rejected WRONGPASS")
      const { link } = yield* opened({ url: `redis://:se%3Acret@127.0.0.1:${port}/2` })
      yield* link.append("a", x, undefined)
      yield* opened({ connection: { port, password: "se:cret" } })
    })
  )

  it.live("needs the rights that its page says, and misses any that is missing before anything is written", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const redis = yield* asker(port)
      const let_ = (words: string) => ask(redis, "ACL", "SETUSER", "ada", "reset", "on", ">pw", ...words.split(" "))
      const ada = { url, connection: { username: "ada", password: "pw" } }
      yield* let_(rights)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { appended, link } = yield* opened(ada)
          yield* link.listen(["a"])
          yield* link.append("a", x, { producer: "p", epoch: 0, sequence: 0 })
          yield* link.since("a", undefined)
          yield* link.cast("a", x)
          yield* eventually(() => appended.length === 1)
        })
      )
      const needed = rights
        .split(" ")
        .filter((right) => /^[+]/.test(right) && !/hello|auth|select|ping|subscribe|spublish|eval/.test(right))
      expect(needed.length).toBe(21)
      for (const right of needed) {
        yield* ask(redis, "FLUSHALL")
        yield* let_(`${rights} ${right.replace("+", "-")}`)
        expect(`${right}: ${yield* refused(ada)}`).toMatch(/^\+(time|hmget|del|hset): Rejected ERR$|: Rejected NOPERM$/)
        // A log may be there, but nothing that was published.
        expect(yield* ask(redis, "KEYS", "*topic*")).toEqual([])
      }
      yield* let_(rights.replace("&{millrace}:*", "&other"))
      expect(yield* refused(ada)).toBe("Rejected NOPERM")
      yield* let_(rights.replace("~{millrace}:*", "~other"))
      expect(yield* refused(ada)).toBe("Rejected NOPERM")
    })
  )

  it.live("publishes nothing when it is full, and is read and listened to all the same", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const redis = yield* asker(port)
      const { appended, link } = yield* opened({ url })
      yield* link.listen(["a"])
      yield* link.append("a", x, { producer: "p", epoch: 0, sequence: 0 })
      yield* ask(redis, "CONFIG", "SET", "maxmemory", "1")
      for (const key of [
        undefined,
        { producer: "p", epoch: 0, sequence: 1 },
        { producer: "q", epoch: 0, sequence: 1 }
      ]) {
        expect(yield* told(link.append("a", x, key))).toBe("Rejected OOM")
      }
      expect((yield* link.position).offset).toBe(1)
      expect((yield* link.since("a", undefined)).entries.length).toBe(1)
      const late = yield* opened({ url })
      expect((yield* late.link.position).offset).toBe(1)
      yield* ask(redis, "CONFIG", "SET", "maxmemory", "0")
      expect((yield* link.append("a", x, { producer: "p", epoch: 0, sequence: 1 })).repeated).toBe(false)
      yield* eventually(() => appended.length === 2)
    })
  )

  it.live("publishes nothing when it cannot write to its disk, and is read all the same", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer({ args: ["--save", "3600 1"] })
      const redis = yield* asker(port)
      const { link } = yield* opened({ url })
      yield* link.append("a", x, undefined)
      const [, store] = (yield* ask(redis, "CONFIG", "GET", "dir")) as [string, string]
      // What it stands in is another folder then, and gone.
      rmSync(store, { recursive: true })
      mkdirSync(store)
      yield* ask(redis, "BGSAVE")
      yield* eventuallyTold(link.append("a", x, undefined), "Rejected MISCONF")
      expect((yield* link.position).offset).toBeGreaterThan(0)
      expect((yield* link.since("a", undefined)).entries.length).toBeGreaterThan(0)
      yield* opened({ url })
    })
  )

  it.live("is another one's replica now: the link ends, and none is opened", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const redis = yield* asker(port)
      for (const use of ["append", "position"] as const) {
        yield* ask(redis, "REPLICAOF", "NO", "ONE")
        const { link } = yield* opened({ url })
        yield* ask(redis, "REPLICAOF", "127.0.0.1", nobodysPort)
        const call: Effect.Effect<unknown, BrokerError> =
          use === "append" ? link.append("a", x, undefined) : link.position
        expect(yield* told(call)).toBe("Unavailable NotPublished READONLY")
        expect((yield* link.ended).message).toContain("READONLY")
        expect(yield* refused({ url })).toBe("Unavailable NotPublished READONLY")
      }
    })
  )

  it.live("has not published what it may take later", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer({ args: ["--lua-time-limit", "1"] })
      const redis = yield* asker(port)
      const { link } = yield* opened({ url })
      yield* ask(redis, "CONFIG", "SET", "min-replicas-to-write", "1")
      expect(yield* told(link.append("a", x, undefined))).toBe("Unavailable NotPublished NOREPLICAS")
      yield* opened({ url })
      yield* ask(redis, "CONFIG", "SET", "min-replicas-to-write", "0")
      const other = yield* asker(port)
      const endless = yield* Effect.forkChild(Effect.exit(ask(other, "EVAL", "while true do end", "0")), {
        startImmediately: true
      })
      yield* eventuallyTold(link.append("a", x, undefined), "Unavailable NotPublished BUSY")
      expect(yield* refused({ url })).toBe("Unavailable NotPublished BUSY")
      yield* ask(redis, "SCRIPT", "KILL")
      yield* Fiber.join(endless)
      yield* link.append("a", x, undefined)
      yield* ask(redis, "CONFIG", "SET", "maxclients", "1")
      expect(yield* refused({ url })).toMatch(/^Unavailable NotPublished /)
    })
  )

  it.live("has a cluster that is down, or lacks a command", () =>
    Effect.gen(function* () {
      const down = yield* redisServer({ args: ["--cluster-enabled", "yes"] })
      expect(yield* refused({ url: down.url })).toBe("Unavailable NotPublished CLUSTERDOWN")
      expect(yield* refused({ connection: { cluster: [{ host: "127.0.0.1", port: down.port }] } })).toMatch(
        /^Unavailable NotPublished /
      )
      const without = yield* redisServer({ args: ["--rename-command", "XADD", ""] })
      expect(yield* refused({ url: without.url })).toBe("Rejected ERR")
    })
  )
})

describeWith("redis-server")("the connections to Redis", () => {
  it.live("are refused where nobody listens, in no time, and given up where nobody answers", () =>
    Effect.gen(function* () {
      expect(yield* refused({ connection: { port: nobodysPort } })).toMatch(/^Unavailable NotPublished .*ECONNREFUSED/)
      // The client does not say more.
      expect(yield* refused({ connection: { cluster: [{ host: "127.0.0.1", port: nobodysPort }] } })).toMatch(
        /^Unavailable NotPublished .*closed/
      )
      const sentinels = [{ host: "127.0.0.1", port: nobodysPort }]
      expect(yield* refused({ connection: { sentinels, name: "m" } })).toMatch(
        /^Unavailable NotPublished .*All sentinels are unreachable/
      )
      const server = yield* redisServer()
      yield* server.pause
      const cluster = [{ host: "127.0.0.1", port: server.port }]
      for (const options of [{ url: server.url }, { connection: { cluster } }]) {
        expect(yield* refused({ ...options, connectTimeout: "50 millis" })).toMatch(
          /^Unavailable NotPublished .*has not answered within 50ms/
        )
      }
      yield* server.resume
      const redis = yield* asker(server.port)
      yield* eventuallyAlone(redis)
    })
  )

  it.live("both end when one is killed, and with the scope", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const redis = yield* asker(port)
      for (const which of [/flags=P/, /flags=N.* cmd=(?!client)/]) {
        const scope = yield* Scope.make()
        const { link } = yield* Scope.provide(opened({ url }), scope)
        yield* link.listen(["a"])
        const [id] = yield* idsOf(redis, which)
        yield* ask(redis, "CLIENT", "KILL", "ID", id!)
        expect((yield* link.ended).reason._tag).toBe("Unavailable")
        yield* eventuallyAlone(redis)
        expect(yield* told(link.append("a", x, undefined))).toMatch(/^Unavailable NotPublished /)
        for (const call of [link.position, link.since("a", undefined), link.listen(["b"]), link.cast("a", x)]) {
          expect(yield* told(call as Effect.Effect<unknown, BrokerError>)).toMatch(/^Unavailable NotPublished /)
        }
        link.unlisten(["a"])
        link.unhear(["a"])
        yield* Scope.close(scope, Exit.void)
      }
      yield* Effect.scoped(opened({ url }))
      yield* eventuallyAlone(redis)
    })
  )

  it.live("do not say whether what was on its way is there", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const { link } = yield* opened({ url: server.url })
      yield* server.pause
      const calls = yield* Effect.forkChild(
        Effect.all(
          [
            told(link.append("a", x, undefined)),
            told(link.append("a", x, { producer: "p", epoch: 0, sequence: 0 })),
            told(link.cast("a", x)),
            told(link.position)
          ],
          { concurrency: 4 }
        ),
        { startImmediately: true }
      )
      yield* server.kill
      const answers = yield* Fiber.join(calls)
      expect(answers.map((answer) => answer.split(" ").slice(0, 2).join(" "))).toEqual([
        "Unavailable Unknown",
        "Unavailable Unknown",
        "Unavailable Unknown",
        "Unavailable NotPublished"
      ])
      yield* link.ended
    })
  )

  it.live("end when the one that listens does not answer, though nothing is asked of the other", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const { link } = yield* opened({ url: server.url, heartbeat: "20 millis" })
      for (let time = 0; time < 5; time++) yield* link.position
      yield* server.pause
      expect((yield* link.ended).message).toContain("has not answered")
    })
  )

  it.live("wait for a server that pauses its clients, and lose nothing", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const redis = yield* asker(port)
      const { appended, link } = yield* opened({ url })
      yield* link.listen(["a"])
      yield* ask(redis, "CLIENT", "PAUSE", "200")
      yield* Effect.forEach([1, 2, 3], () => link.append("a", x, undefined), { concurrency: 3 })
      yield* eventually(() => appended.length === 3)
    })
  )

  it.live("never count what was cut off, wherever it was cut", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const { link: sure } = yield* opened({ url })
      const { port: cut } = yield* cutting(port, 43)
      let acknowledged = 0
      let unknown = 0
      let sequence = 0
      for (let at = 0; at < 400; at++) {
        const exit = yield* Effect.exit(
          Effect.scoped(
            Effect.gen(function* () {
              const { link } = yield* opened({ connection: { port: cut } })
              for (let time = 0; time < 2; time++) {
                const key = { producer: "p", epoch: 0, sequence: sequence++ }
                unknown++
                yield* link.append("a", bytes(`${key.sequence}`), key)
                unknown--
                acknowledged++
              }
            })
          )
        )
        if (Exit.isFailure(exit)) continue
        if (acknowledged > 20) break
      }
      expect(acknowledged).toBeGreaterThan(20)
      const { entries } = yield* sure.since("a", undefined)
      const kept = entries.map(({ bytes }) => Number(text(bytes)))
      expect(new Set(kept).size).toBe(kept.length)
      expect(kept.length).toBeGreaterThanOrEqual(acknowledged)
      expect(kept.length).toBeLessThanOrEqual(acknowledged + unknown)
    })
  )

  it.live("are of TLS where the URL says so", () =>
    Effect.gen(function* () {
      const { cert, key } = selfSigned("localhost")
      const files = yield* folder
      writeFileSync(join(files, "cert"), cert)
      writeFileSync(join(files, "key"), key)
      const tls = ["cert-file", "key-file", "ca-cert-file"].flatMap((name) => [
        `--tls-${name}`,
        join(files, name === "key-file" ? "key" : "cert")
      ])
      const { port } = yield* RealServer.start({
        name: "redis-server",
        scheme: "rediss",
        arguments: (port, store) =>
          `--bind 127.0.0.1 --port 0 --tls-port ${port} --dir ${store} --save`
            .split(" ")
            .concat("", "--tls-auth-clients", "no", tls),
        ready: /Ready to accept connections/
      })
      const url = `rediss://localhost:${port}`
      expect(yield* refused({ url })).toMatch(/^Unavailable NotPublished .*certificate/)
      const { appended, link } = yield* opened({ url, connection: { tls: { ca: cert }, family: 4 } })
      yield* link.listen(["a"])
      yield* link.append("a", x, undefined)
      yield* eventually(() => appended.length === 1)
      expect(
        yield* refused({ url: `redis://localhost:${port}`, connection: { family: 4 }, connectTimeout: "1 second" })
      ).toMatch(/^Unavailable NotPublished /)
    })
  )
})

describeWith("redis-server")("Redis Cluster", () => {
  it.live("has all of a prefix on one node, and tells of it by sharded pub/sub, however the node was found", () =>
    Effect.gen(function* () {
      const server = yield* redisServer({ args: ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"] })
      const redis = yield* asker(server.port)
      yield* ask(redis, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
      yield* eventuallyOk(redis)
      const one = yield* opened({ url: server.url })
      const other = yield* opened({ connection: { cluster: [{ host: "127.0.0.1", port: server.port }] } })
      for (const { link } of [one, other]) {
        yield* link.listen(["a", "b", "c"])
        yield* link.hear(["c"])
      }
      yield* one.link.append("a", x, { producer: "p", epoch: 0, sequence: 0 })
      expect((yield* other.link.append("b", x, { producer: "p", epoch: 0, sequence: 0 })).repeated).toBe(true)
      yield* other.link.append("b", x, undefined)
      yield* one.link.cast("c", x)
      yield* eventually(() => [one, other].every(({ appended, heard }) => appended.length === 2 && heard.length === 1))
      other.link.unlisten(["a", "c"])
      yield* other.link.position
      expect(((yield* ask(redis, "PUBSUB", "SHARDCHANNELS")) as Array<string>).sort()).toEqual([
        "{millrace}:0:appended:a",
        "{millrace}:0:appended:b",
        "{millrace}:0:appended:c",
        "{millrace}:0:cast:c"
      ])
      expect(yield* ask(redis, "PUBSUB", "CHANNELS")).toEqual([])
      // Finding the node has left no connections.
      expect((yield* idsOf(redis, /./)).length).toBe(5)
    })
  )

  it.live("moves the keys to another node: the link ends, and the next one is there", () =>
    Effect.gen(function* () {
      const args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
      const servers = [yield* redisServer({ args }), yield* redisServer({ args })] as const
      const [here, there] = [yield* asker(servers[0].port), yield* asker(servers[1].port)]
      yield* ask(here, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
      yield* ask(here, "CLUSTER", "MEET", "127.0.0.1", servers[1].port)
      yield* eventuallyOk(here)
      yield* eventuallyOk(there)
      const cluster = servers.map(({ port }) => ({ host: "127.0.0.1", port }))
      const { link } = yield* opened({ connection: { cluster } })
      yield* link.listen(["a"])
      const { position } = yield* link.append("a", x, undefined)
      const slot = String(yield* ask(here, "CLUSTER", "KEYSLOT", "{millrace}"))
      const owner = String(yield* ask(there, "CLUSTER", "MYID"))
      yield* ask(here, "FLUSHALL")
      for (const redis of [there, here]) yield* ask(redis, "CLUSTER", "SETSLOT", slot, "NODE", owner)
      expect((yield* link.ended).reason).toMatchObject({ _tag: "Unavailable" })
      const next = yield* opened({ connection: { cluster } })
      expect((yield* next.link.since("a", position)).gap).toBe(true)
      yield* next.link.append("a", x, undefined)
      expect(yield* ask(there, "XLEN", "{millrace}:topic:a")).toBe(1)
    })
  )
})

describeWith("redis-server")("Sentinel", () => {
  it.live("says where the master is, each time", () =>
    Effect.gen(function* () {
      const first = yield* redisServer()
      const second = yield* redisServer({ args: ["--replicaof", "127.0.0.1", `${first.port}`] })
      const sentinel = yield* RealServer.start({
        name: "redis-server",
        scheme: "redis",
        arguments: (port, store) => {
          const file = join(store, "sentinel.conf")
          writeFileSync(
            file,
            [
              `port ${port}`,
              "bind 127.0.0.1",
              `dir ${store}`,
              `sentinel monitor mine 127.0.0.1 ${first.port} 1`,
              "sentinel down-after-milliseconds mine 300",
              "sentinel failover-timeout mine 2000",
              ""
            ].join("\n")
          )
          return [file, "--sentinel"]
        },
        ready: /\+slave slave/
      })
      const options = { connection: { sentinels: [{ host: "127.0.0.1", port: sentinel.port }], name: "mine" } }
      const { link } = yield* opened(options)
      const { position } = yield* link.append("a", x, undefined)
      const askReplica = (...words: ReadonlyArray<string>) =>
        Effect.map(
          Effect.exit(Effect.scoped(Effect.flatMap(asker(second.port), (replica) => ask(replica, ...words)))),
          (exit) => (Exit.isSuccess(exit) ? exit.value : undefined)
        )
      yield* eventuallyIs(askReplica("XLEN", "{millrace}:topic:a"), 1)
      yield* first.kill
      yield* link.ended
      yield* eventuallyIs(
        Effect.map(askReplica("ROLE"), (role) => (role as Array<string> | undefined)?.[0]),
        "master"
      )
      const next = yield* eventuallyOpened(options)
      const tail = yield* next.link.since("a", { ...position, offset: 0 })
      // What had been copied is there, and nobody knows what had not.
      expect([tail.entries.length, tail.gap, tail.to.epoch === position.epoch]).toEqual([1, true, false])
      yield* next.link.append("a", x, undefined)
    })
  )
})

const eventuallyIs = <E>(effect: Effect.Effect<unknown, E>, value: unknown): Effect.Effect<void, E> =>
  Effect.flatMap(effect, (got) => (got === value ? Effect.void : eventuallyIs(effect, value)))

const eventuallyTold = <A>(effect: Effect.Effect<A, BrokerError>, expected: string): Effect.Effect<void> =>
  Effect.flatMap(Effect.exit(told(effect)), (exit) =>
    Exit.isSuccess(exit) && exit.value === expected ? Effect.void : eventuallyTold(effect, expected)
  )

const eventuallyOpened = (options: RedisEngine.Options): ReturnType<typeof opened> =>
  Effect.catchTag(opened(options), "BrokerError", () => eventuallyOpened(options))

/** Nobody else has a connection. */
const eventuallyAlone = (redis: Redis): Effect.Effect<void> =>
  Effect.flatMap(idsOf(redis, /./), ({ length }) => (length === 1 ? Effect.void : eventuallyAlone(redis)))

const eventuallyOk = (redis: Redis): Effect.Effect<void> =>
  Effect.flatMap(ask(redis, "CLUSTER", "INFO"), (info) =>
    /cluster_state:ok/.test(String(info)) ? Effect.void : eventuallyOk(redis)
  )
