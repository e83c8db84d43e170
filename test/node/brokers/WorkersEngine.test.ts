/** Several nodes that share a log over a socket: in one process here, as that is the same to them. */
import { chmodSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import * as net from "node:net"
import { join } from "node:path"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import type * as Engine from "@millrace/core/cluster/Engine"
import * as WorkersEngine from "@millrace/node/brokers/WorkersEngine"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { eventually, settled } from "../../support/eventually.ts"
import { folder } from "../../support/folder.ts"

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const bytes = (value: string) => new TextEncoder().encode(value)

/** A node, what it was told, and its end. */
const node = (options: WorkersEngine.Options) =>
  Effect.gen(function* () {
    const told: Array<string> = []
    const gap: Array<number | undefined> = []
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const link: Engine.Link = yield* WorkersEngine.make(options)
      .open({
        appended: ({ bytes, position, previous, topic }) => {
          told.push(`${topic} ${position.offset} ${text(bytes)}`)
          gap.push(previous)
        },
        heard: (channel, bytes) => void told.push(`${channel}! ${text(bytes)}`)
      })
      .pipe(Effect.provideService(Scope.Scope, scope))
    return { link, told, gap, close: Scope.close(scope, Exit.void) }
  })

/** What a tail says, in short. */
const values = ({ entries, gap, to }: Engine.Tail) => [
  entries.map(({ bytes, offset }) => `${offset} ${text(bytes)}`).join(),
  gap,
  to.offset
]

/** Of which several hundred fit into a block, and one now and then has a block of its own. */
const payload = (i: number) => "p".repeat(i % 500 === 7 ? 70_000 : i % 200)

const reasonOf = (effect: Effect.Effect<unknown, BrokerError, Scope.Scope>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const frame = (...packet: ReadonlyArray<number>) => new Uint8Array([0x82, packet.length, ...packet])

/** Of the epoch "e", at its beginning. */
const welcome = (version: number) => frame(16, version, 0, 1, 101, 0, 0, 0, 0, 0, 0, 0, 0)

/** A host that does what a test says. */
const scripted = (directory: string, generation: number, connected: (socket: net.Socket) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly received: () => number; readonly cut: () => void }>((resume) => {
      const sockets: Array<net.Socket> = []
      let received = 0
      const server = net.createServer((socket) => {
        sockets.push(socket)
        socket.on("error", () => {})
        socket.on("data", (chunk) => (received += chunk.length))
        connected(socket)
      })
      const cut = () => {
        server.close()
        for (const socket of sockets) socket.destroy()
      }
      server.listen(join(directory, `${generation}.sock`), () =>
        resume(Effect.succeed({ received: () => received, cut }))
      )
    }),
    ({ cut }) => Effect.sync(cut)
  )

/** What a host that was killed leaves: the file of a socket without a listener. */
const abandoned = (directory: string, generation: number) =>
  Effect.callback<void>((resume) => {
    const server = net.createServer()
    server.listen(join(directory, "here"), () => {
      renameSync(join(directory, "here"), join(directory, `${generation}.sock`))
      server.close(() => resume(Effect.void))
    })
  })

/** A node that does what a test says. */
const dialled = (directory: string, generation: number) =>
  Effect.acquireRelease(
    Effect.callback<net.Socket>((resume) => {
      const socket = net.connect(join(directory, `${generation}.sock`))
      socket.on("error", () => {})
      socket.once("connect", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Has it listen to "x". Reads the welcome and the answer. */
const listening = (socket: net.Socket) =>
  Effect.callback<void>((resume) => {
    const read: Array<Buffer> = []
    const done = Buffer.from(frame(22, 0, 0, 0, 1))
    const onData = (chunk: Buffer) => {
      read.push(chunk)
      if (!Buffer.concat(read).subarray(-done.length).equals(done)) return
      socket.off("data", onData)
      resume(Effect.void)
    }
    socket.on("data", onData)
    socket.write(frame(4, 0, 0, 0, 1, 0, 1, 120))
  })

describe("a log of several nodes", () => {
  it.live("tells each who listens what anyone appends, in one order, with the one before it in its topic", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const [a, b, c] = yield* Effect.all([node({ directory }), node({ directory }), node({ directory })])
      yield* a.link.listen(["x", "y"])
      yield* b.link.listen(["x"])
      const first = yield* c.link.append("x", bytes("one"), undefined)
      yield* a.link.append("y", bytes("two"), undefined)
      yield* b.link.append("x", bytes("three"), undefined)
      expect(first).toEqual({ position: { epoch: first.position.epoch, offset: 1 }, repeated: false })
      expect(yield* c.link.position).toEqual({ epoch: first.position.epoch, offset: 3 })
      yield* eventually(() => a.told.length === 3 && b.told.length === 2)
      expect(a.told).toEqual(["x 1 one", "y 2 two", "x 3 three"])
      expect(a.gap).toEqual([0, 0, 1])
      expect(b.told).toEqual(["x 1 one", "x 3 three"])
      expect(c.told).toEqual([])
    }).pipe(Effect.scoped)
  )

  it.live("tells each only what it listens to, in order, when much is appended at once", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const [a, b, c] = yield* Effect.all([node({ directory }), node({ directory }), node({ directory })])
      yield* Effect.all([a.link.listen(["x", "y"]), b.link.listen(["y", "z"])])
      const topics = Array.from({ length: 3_000 }, (_, i) => "xyz"[(i + (i >> 2)) % 3] ?? "x")
      yield* Effect.forEach(topics, (topic, i) => c.link.append(topic, bytes(payload(i)), undefined), {
        concurrency: 200
      })
      const expected = (listens: string) =>
        topics.flatMap((topic, i) => (listens.includes(topic) ? [`${topic} ${i + 1} ${payload(i)}`] : []))
      yield* eventually(() => a.told.length >= expected("xy").length && b.told.length >= expected("yz").length)
      expect([a.told, b.told]).toEqual([expected("xy"), expected("yz")])
    }).pipe(Effect.scoped)
  )

  it.live("tells nothing more of what is not listened to any more", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const [a, b] = yield* Effect.all([node({ directory }), node({ directory })])
      yield* a.link.listen(["x", "y"])
      yield* b.link.listen(["x"])
      a.link.unlisten(["x"])
      yield* a.link.position
      yield* b.link.append("x", bytes("1"), undefined)
      yield* b.link.append("y", bytes("2"), undefined)
      yield* eventually(() => b.told.length === 1 && a.told.length === 1)
      expect(a.told).toEqual(["y 2 2"])
    }).pipe(Effect.scoped)
  )

  it.live("answers what was appended behind a position, and says when that may not be all", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const a = yield* node({ directory, retention: { maxEntries: 3 } })
      const { position } = yield* a.link.append("x", bytes("1"), undefined)
      for (const value of ["2", "3", "4"]) yield* a.link.append("x", bytes(value), undefined)
      expect(values(yield* a.link.since("x", position))).toEqual(["2 2,3 3,4 4", false, 4])
      expect(values(yield* a.link.since("x", { ...position, offset: 0 }))).toEqual(["2 2,3 3,4 4", true, 4])
      expect(values(yield* a.link.since("x", undefined))).toEqual(["2 2,3 3,4 4", true, 4])
      expect(values(yield* a.link.since("x", { epoch: "another", offset: 3 }))).toEqual(["2 2,3 3,4 4", true, 4])
      expect(values(yield* a.link.since("y", { ...position, offset: 0 }))).toEqual(["", false, 4])
    }).pipe(Effect.scoped)
  )

  it.live("knows a repeat by its key, from any node, and one that is too old", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const [a, b] = yield* Effect.all([node({ directory }), node({ directory })])
      yield* b.link.listen(["x"])
      const key = { producer: "p", epoch: 1, sequence: 7 }
      const first = yield* a.link.append("x", bytes("1"), key)
      expect(yield* b.link.append("x", bytes("1"), key)).toEqual({ ...first, repeated: true })
      yield* a.link.append("x", bytes("2"), { ...key, epoch: 2 })
      expect(yield* reasonOf(a.link.append("x", bytes("1"), key))).toMatchObject({ _tag: "StaleKey", key })
      yield* eventually(() => b.told.length === 2)
      yield* settled
      expect(b.told).toEqual(["x 1 1", "x 2 2"])
    }).pipe(Effect.scoped)
  )

  it.live("casts to all who hear, the caster too, and keeps nothing of it", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const [a, b, c] = yield* Effect.all([node({ directory }), node({ directory }), node({ directory })])
      yield* Effect.all([a.link.hear(["n", "m"]), b.link.hear(["n"]), c.link.hear(["n"])])
      c.link.unhear(["n"])
      yield* c.link.position
      yield* b.link.cast("n", bytes("1"))
      yield* a.link.cast("m", bytes("2"))
      yield* eventually(() => a.told.length === 2 && b.told.length === 1)
      expect([a.told, b.told, c.told]).toEqual([["n! 1", "m! 2"], ["n! 1"], []])
      expect((yield* a.link.position).offset).toBe(0)
    }).pipe(Effect.scoped)
  )

  it.live("carries a parcel of any length up to its limit, and refuses more before it is sent", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const options = { directory, maxParcelBytes: 1_000_000 }
      const [a, b] = yield* Effect.all([node(options), node(options)])
      const lengths = [0, 1, 100, 125, 126, 2_040, 2_048, 4_096, 65_000, 65_535, 65_536, 70_000, 1_000_000]
      yield* b.link.listen(["x"])
      yield* Effect.forEach(lengths, (length) => a.link.append("x", new Uint8Array(length).fill(120), undefined), {
        concurrency: "unbounded"
      })
      yield* eventually(() => b.told.length === lengths.length)
      expect(b.told).toEqual(lengths.map((length, i) => `x ${i + 1} ${"x".repeat(length)}`))
      expect((yield* b.link.since("x", undefined)).entries.map(({ bytes }) => bytes.length)).toEqual(
        // What is kept of one topic is a mebibyte.
        [1_000_000]
      )
      const reason = { _tag: "TooLarge", length: 1_000_001, limit: 1_000_000 }
      expect(yield* reasonOf(a.link.append("x", new Uint8Array(1_000_001), undefined))).toMatchObject(reason)
      expect(yield* reasonOf(a.link.cast("x", new Uint8Array(1_000_001)))).toMatchObject(reason)
    }).pipe(Effect.scoped)
  )

  it.live("tells names of any text apart, and refuses those that are none", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const a = yield* node({ directory })
      const names = ["", "__proto__", "\u0000", "\ufffd", "\u{1f30a}", "\ufeffa", "a", "x".repeat(65_535)]
      yield* a.link.listen(names)
      for (const name of names) yield* a.link.append(name, bytes(""), undefined)
      yield* eventually(() => a.told.length === names.length)
      expect(a.told).toEqual(names.map((name, i) => `${name} ${i + 1} `))
      for (const name of ["\ud800", "x".repeat(65_536)]) {
        expect(yield* reasonOf(a.link.append(name, bytes(""), undefined))).toMatchObject({ _tag: "Rejected" })
        expect(yield* reasonOf(a.link.since(name, undefined))).toMatchObject({ _tag: "Rejected" })
        expect(yield* reasonOf(a.link.listen(["a", name]))).toMatchObject({ _tag: "Rejected" })
        expect(yield* reasonOf(a.link.hear([name]))).toMatchObject({ _tag: "Rejected" })
        expect(yield* reasonOf(a.link.cast(name, bytes("")))).toMatchObject({ _tag: "Rejected" })
        a.link.unlisten([name])
        a.link.unhear([name])
      }
      expect((yield* a.link.position).offset).toBe(names.length)
    }).pipe(Effect.scoped)
  )

  it.live("listens to ten thousand topics at once", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const a = yield* node({ directory })
      const topics = Array.from({ length: 10_000 }, (_, i) => `a topic with some name ${i}`)
      yield* a.link.listen(topics)
      for (const topic of [topics[0]!, topics[9_999]!]) yield* a.link.append(topic, bytes(""), undefined)
      yield* eventually(() => a.told.length === 2)
    }).pipe(Effect.scoped)
  )
})

describe("the host", () => {
  it.live("goes with its node; who is left takes over with another epoch, and what was asked fails", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const a = yield* node({ directory })
      const b = yield* node({ directory })
      const before = yield* b.link.position
      yield* a.close
      expect((yield* b.link.ended).reason._tag).toBe("Unavailable")
      expect(yield* reasonOf(b.link.append("x", bytes(""), undefined))).toMatchObject({
        _tag: "Unavailable",
        outcome: "NotPublished"
      })
      const c = yield* node({ directory })
      expect((yield* c.link.position).epoch).not.toBe(before.epoch)
    }).pipe(Effect.scoped)
  )

  it.live("leaves no socket behind", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const a = yield* node({ directory })
      expect(readdirSync(directory)).toEqual(["1.sock"])
      yield* a.close
      expect(readdirSync(directory)).toEqual([])
    }).pipe(Effect.scoped)
  )

  it.live("is not one who may not: it waits for another", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      expect(yield* reasonOf(node({ directory, host: false }))).toMatchObject({
        _tag: "Unavailable",
        outcome: "NotPublished"
      })
      expect(readdirSync(directory)).toEqual([])
      yield* node({ directory })
      yield* node({ directory, host: false })
    }).pipe(Effect.scoped)
  )

  it.live("fails what is on its way when it goes: nobody knows whether it was published", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const host = yield* scripted(directory, 1, (socket) => socket.write(welcome(1)))
      const { link } = yield* node({ directory, host: false })
      const appending = yield* Effect.forkChild(reasonOf(link.append("x", bytes(""), undefined)), {
        startImmediately: true
      })
      yield* eventually(() => host.received() > 0)
      host.cut()
      expect(yield* Fiber.join(appending)).toMatchObject({ _tag: "Unavailable", outcome: "Unknown" })
    }).pipe(Effect.scoped)
  )

  it.live("is passed over when it takes connections and says nothing", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      yield* scripted(directory, 7, () => {})
      const a = yield* node({ directory, welcomeTimeout: 50 })
      yield* a.link.append("x", bytes(""), undefined)
      expect(readdirSync(directory)).toEqual(["8.sock"])
    }).pipe(Effect.scoped)
  )

  it.live("is passed over when it is dead, and its file removed", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      for (const dead of [3, 12]) yield* abandoned(directory, dead)
      const a = yield* node({ directory })
      yield* a.link.position
      expect(readdirSync(directory)).toEqual(["13.sock"])
    }).pipe(Effect.scoped)
  )

  it.live("gives way to a higher one, and when its own file is gone", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const a = yield* node({ directory })
      writeFileSync(join(directory, "2.sock"), "")
      yield* a.link.ended
      expect(readdirSync(directory)).toEqual(["2.sock"])
      const b = yield* node({ directory })
      expect(readdirSync(directory)).toEqual(["3.sock"])
      rmSync(join(directory, "3.sock"))
      yield* b.link.ended
    }).pipe(Effect.scoped)
  )

  it.live("speaks another version: that is refused, and not taken for death", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      yield* scripted(directory, 1, (socket) => socket.write(welcome(2)))
      const reason = yield* reasonOf(node({ directory }))
      expect(reason).toMatchObject({ _tag: "Rejected" })
      expect(reason.message).toContain("speaks version 2 of the link, this is 1")
    }).pipe(Effect.scoped)
  )

  it.live.each<readonly [string, Uint8Array]>([
    ["a packet that cannot be read", frame(99)],
    ["a frame that is no packet", new Uint8Array([0x81, 0])],
    ["a frame that breaks a rule", new Uint8Array([0xf2, 0])],
    ["a frame that is too long", new Uint8Array([0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0])],
    ["two welcomes", welcome(1)]
  ])("that says %s is one that is left", ([, wrong]) =>
    Effect.gen(function* () {
      const directory = yield* folder
      yield* scripted(directory, 1, (socket) => socket.write(Buffer.concat([welcome(1), wrong])))
      const { link } = yield* node({ directory, host: false })
      expect((yield* link.ended).reason).toMatchObject({ _tag: "Unavailable" })
    }).pipe(Effect.scoped)
  )
})

describe("a node", () => {
  it.live.each<readonly [string, Uint8Array]>([
    ["a packet that cannot be read", frame(99)],
    ["a packet of the host", frame(22, 0, 0, 0, 1)],
    ["a packet as text", new Uint8Array([0x81, 5, 3, 0, 0, 0, 1])],
    ["a masked frame", new Uint8Array([0x82, 0x80, 0, 0, 0, 0])],
    ["a frame that is too long", new Uint8Array([0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0])]
  ])("that says %s is cut, and nobody else", ([, wrong]) =>
    Effect.gen(function* () {
      const directory = yield* folder
      const a = yield* node({ directory })
      const socket = yield* dialled(directory, 1)
      socket.write(wrong)
      socket.resume()
      yield* eventually(() => socket.destroyed)
      yield* a.link.append("x", bytes(""), undefined)
    }).pipe(Effect.scoped)
  )

  it.live("that does not read holds up who publishes, and is cut when it takes nothing for its time", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const outboxBytes = 100_000
      const a = yield* node({ directory, outboxBytes, patience: 300 })
      const socket = yield* dialled(directory, 1)
      yield* listening(socket)
      socket.pause()
      yield* a.link.listen(["x"])
      const payload = new Uint8Array(10_000).fill(120)
      const count = 500
      const started = performance.now()
      yield* Effect.forEach(Array.from({ length: count }), () => a.link.append("x", payload, undefined), {
        concurrency: 50
      })
      expect(performance.now() - started).toBeGreaterThan(250)
      yield* eventually(() => a.told.length === count)
      socket.resume()
      yield* eventually(() => socket.destroyed)
      // What the system has in its own buffers, and what was let wait.
      expect(socket.bytesRead).toBeLessThan(1_500_000)
    }).pipe(Effect.scoped)
  )

  it.live("says no more than the host reads: who has more to say waits, and can be interrupted", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      yield* scripted(directory, 1, (socket) => socket.pause().write(welcome(1)))
      const { link } = yield* node({ directory, host: false, outboxBytes: 100_000 })
      const payload = new Uint8Array(100_000)
      const before = process.memoryUsage().arrayBuffers
      const saying = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 500 }), () => link.append("x", payload, undefined), {
          concurrency: "unbounded"
        }),
        { startImmediately: true }
      )
      yield* settled
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000)
      yield* Fiber.interrupt(saying)
    }).pipe(Effect.scoped)
  )

  it.live("is answered no more than it reads, however much it asks at once", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const a = yield* node({ directory, outboxBytes: 100_000 })
      for (let i = 0; i < 10; i++) yield* a.link.append("x", new Uint8Array(100_000), undefined)
      const socket = yield* dialled(directory, 1)
      socket.pause()
      const before = process.memoryUsage().arrayBuffers
      // A megabyte each.
      socket.write(Buffer.concat(Array.from({ length: 500 }, () => frame(2, 0, 0, 0, 1, 0, 0, 1, 120))))
      yield* settled
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000)
    }).pipe(Effect.scoped)
  )

  it.live("that reads slowly, but reads, is not cut, and is told everything", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const a = yield* node({ directory, outboxBytes: 100_000, patience: 300 })
      const socket = yield* dialled(directory, 1)
      yield* listening(socket)
      // One piece each time, of 64 KiB at most.
      socket.on("data", () => socket.pause())
      const payload = new Uint8Array(10_000).fill(120)
      const reading = setInterval(() => socket.resume(), 20)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(reading)))
      yield* Effect.forEach(Array.from({ length: 300 }), () => a.link.append("x", payload, undefined), {
        concurrency: 50
      })
      yield* eventually(() => socket.bytesRead > 3_000_000)
      // Nor is it later, when there is nothing to be read.
      const read = performance.now()
      yield* eventually(() => performance.now() > read + 600)
      expect(socket.destroyed).toBe(false)
    }).pipe(Effect.scoped)
  )
})

describe("the folder", () => {
  it.live("is made where there is none, for this user alone", () =>
    Effect.gen(function* () {
      const directory = join(yield* folder, "a/b")
      yield* node({ directory })
      expect(statSync(directory).mode & 0o777).toBe(0o700)
    }).pipe(Effect.scoped)
  )

  it.live("is refused when others may write to it, when its name is too long, and when it is none", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      chmodSync(directory, 0o777)
      const open = yield* reasonOf(node({ directory }))
      expect(open).toMatchObject({ _tag: "Rejected" })
      expect(open.message).toContain("can be written to by other users")
      const long = yield* reasonOf(node({ directory: join(directory, "x".repeat(100)) }))
      expect(long.message).toContain("too long a name")
      const file = join(directory, "file")
      writeFileSync(file, "")
      expect((yield* reasonOf(node({ directory: file }))).message).toContain("cannot be used")
    }).pipe(Effect.scoped)
  )
})
