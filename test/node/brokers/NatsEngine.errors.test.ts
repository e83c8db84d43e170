import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { beforeEach, expect, it } from "vitest"
import * as NatsEngine from "@millrace/node/brokers/NatsEngine"
import * as Subjects from "@millrace/node/brokers/nats/Subjects"
import { shared } from "../../support/command.ts"
import { describeWith } from "../../support/describeWith.ts"
import { eventually } from "../../support/eventually.ts"
import { folder } from "../../support/folder.ts"
import { bytes, client, failureOf, Heard, publish, run } from "../../support/natsLink.ts"
import { natsServer } from "../../support/natsServer.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"
import * as RealServer from "../../support/realServer.ts"

/** A NATS whose configuration is that text. */
const configured = (text: string) =>
  Effect.gen(function* () {
    const path = join(yield* folder, "nats.conf")
    yield* Effect.sync(() => writeFileSync(path, text))
    return yield* natsServer({ args: ["--config", path] })
  })

const sockets = () => process.getActiveResourcesInfo().filter((type) => type === "TCPSocketWrap").length

let prefixes = 0

describeWith("nats-server")("An error of NatsEngine", () => {
  const server = shared(natsServer())
  let prefix = ""
  beforeEach(() => {
    prefix = `test-${++prefixes}`
  })

  const engine = (options: Partial<NatsEngine.Options> = {}) =>
    NatsEngine.make({ url: server().url, prefix, ...options })
  const open = (options: Partial<NatsEngine.Options> = {}, heard = new Heard()) => engine(options).open(heard)

  it("is the operator's where JetStream is off, and says what to do", () =>
    run(
      Effect.gen(function* () {
        const own = yield* RealServer.start({
          name: "nats-server",
          scheme: "nats",
          arguments: (port) => ["--addr", "127.0.0.1", "--port", `${port}`],
          ready: /Server is ready/
        })
        expect(yield* failureOf(engine({ url: own.url }).open(new Heard()))).toMatchObject({
          _tag: "Rejected",
          message: "the broker refused: JetStream is off: start nats-server with -js, or enable it for this account"
        })
      })
    ))

  it("is the operator's where the account has no JetStream", () =>
    run(
      Effect.gen(function* () {
        const own = yield* configured(`
            accounts {
              with { jetstream: enabled, users: [{ user: ada, password: a }] }
              without { users: [{ user: bob, password: b }] }
            }`)
        const url = (user: string) => own.url.replace("//", `//${user}@`)
        yield* engine({ url: url("ada:a") }).open(new Heard())
        expect(yield* failureOf(engine({ url: url("bob:b") }).open(new Heard()))).toMatchObject({
          _tag: "Rejected",
          message: expect.stringContaining("JetStream is off")
        })
      })
    ))

  it("is the operator's where the password is wrong, and does not repeat it", () =>
    run(
      Effect.gen(function* () {
        const own = yield* natsServer({ args: ["--user", "ada", "--pass", "s/cr t"] })
        const url = (who: string) => own.url.replace("//", `//${who}`)
        yield* engine({ url: url("ada:s%2Fcr%20t@") }).open(new Heard())
        yield* engine({ url: own.url, connection: { user: "ada", pass: "s/cr t" } }).open(new Heard())
        for (const who of ["", "ada:wrong@", "token@"]) {
          const { _tag, message } = yield* failureOf(engine({ url: url(who) }).open(new Heard()))
          expect([_tag, message]).toEqual(["Rejected", "the broker refused: Authorization Violation"])
        }
      })
    ))

  it("is the operator's where a right is missing: to listen, to publish, to cast, to ask", () =>
    run(
      Effect.gen(function* () {
        const { log, live, cast } = Subjects.make(prefix)
        const own = yield* configured(`
            authorization { users: [
              { user: all, password: a },
              { user: ada, password: a, permissions: {
                publish: { deny: ["${log("p")}", "${cast("c")}"] }, subscribe: { deny: ["${live("s")}"] } } }
              { user: bob, password: b, permissions: { publish: { deny: ["$JS.API.STREAM.>"] } } }
            ] }
            jetstream: enabled`)
        const url = (user: string) => own.url.replace("//", `//${user}@`)
        yield* engine({ url: url("all:a") }).open(new Heard())
        const heard = new Heard()
        const link = yield* engine({ url: url("ada:a") }).open(heard)
        expect((yield* failureOf(link.listen(["a", "s"])))._tag).toBe("Rejected")
        expect((yield* failureOf(link.append("p", bytes("1"), undefined)))._tag).toBe("Rejected")
        yield* link.cast("c", bytes("1"))
        // It is said afterwards, and from then on it is known.
        let refused: string | undefined
        while (refused === undefined) {
          yield* link.position
          refused = yield* Effect.match(link.cast("c", bytes("2")), {
            onSuccess: () => undefined,
            onFailure: ({ reason }) => reason._tag
          })
        }
        expect(refused).toBe("Rejected")
        // The rest goes on.
        yield* link.listen(["a"])
        yield* publish(link, "a", "1")
        yield* eventually(() => heard.publications.length === 1)
        expect((yield* failureOf(engine({ url: url("bob:b") }).open(new Heard())))._tag).toBe("Rejected")
      })
    ))

  it("is none where a node has the rights that docs/brokers/nats.md names, and no others", () =>
    run(
      Effect.gen(function* () {
        const own = yield* configured(`
          authorization { users: [{ user: ada, password: a, permissions: {
            publish: ["${prefix}.log.>", "${prefix}.cast.>", "$JS.API.>"],
            subscribe: ["${prefix}.live.>", "${prefix}.cast.>", "$JS.EVENT.ADVISORY.STREAM.>", "_INBOX.>"] } }] }
          jetstream: enabled`)
        const heard = new Heard()
        const link = yield* engine({ url: own.url.replace("//", "//ada:a@") }).open(heard)
        yield* link.listen(["a"])
        yield* link.hear(["c"])
        yield* publish(link, "a", "1", "2")
        yield* link.cast("c", bytes("3"))
        yield* eventually(() => heard.publications.length === 2 && heard.casts.length === 1)
        const { epoch } = yield* link.position
        expect((yield* link.since("a", { epoch, offset: 1 })).entries.length).toBe(1)
      })
    ))

  it("is the caller's where more bytes come than the server takes, and the next publication goes on", () =>
    run(
      Effect.gen(function* () {
        const own = yield* configured("max_payload: 4096\njetstream: enabled")
        const heard = new Heard()
        const link = yield* engine({ url: own.url, prefix: "p".repeat(64) }).open(heard)
        yield* link.listen(["a"])
        const most = Number.MAX_SAFE_INTEGER
        const key = { producer: "x".repeat(128), epoch: most, sequence: most }
        const limit = 4_096 - 512
        for (const used of [undefined, key]) {
          expect(yield* failureOf(link.append("a", new Uint8Array(limit + 1), used))).toMatchObject({
            _tag: "TooLarge",
            length: limit + 1,
            limit
          })
          yield* link.append("a", new Uint8Array(limit), used)
        }
        expect(yield* failureOf(link.cast("c", new Uint8Array(4_097)))).toMatchObject({
          _tag: "TooLarge",
          limit: 4_096
        })
        yield* link.cast("c", new Uint8Array(4_096))
        yield* eventually(() => heard.publications.length === 2)
        const { epoch } = yield* link.position
        expect((yield* link.since("a", { epoch, offset: 0 })).entries.length).toBe(2)
      })
    ))

  it("is the operator's where the server has no room for the log", () =>
    run(
      Effect.gen(function* () {
        const own = yield* configured("jetstream { max_file: 1MB }")
        expect(yield* failureOf(engine({ url: own.url }).open(new Heard()))).toMatchObject({
          _tag: "Rejected",
          message: expect.stringContaining("insufficient storage resources")
        })
        yield* engine({ url: own.url, maxLogBytes: 500_000 }).open(new Heard())
      })
    ))

  it("is the operator's where somebody else's stream has our subjects, which is left alone", () =>
    run(
      Effect.gen(function* () {
        const { jsm } = yield* client(server().url)
        yield* Effect.promise(() => jsm.streams.add({ name: `${prefix}-theirs`, subjects: [`${prefix}.>`] }))
        const before = yield* Effect.promise(() => jsm.streams.info(`${prefix}-theirs`))
        expect(yield* failureOf(open())).toMatchObject({
          _tag: "Rejected",
          message: expect.stringContaining(`${prefix}-theirs takes ${prefix}.log.>, and is not a log of Millrace`)
        })
        const after = yield* Effect.promise(() => jsm.streams.info(`${prefix}-theirs`))
        expect(after.config).toEqual(before.config)
        yield* Effect.promise(() => jsm.streams.delete(`${prefix}-theirs`))
      })
    ))

  it.each([
    [{ url: `nats://127.0.0.1:${nobodysPort}` }, "Unavailable", "ECONNREFUSED"],
    [{ url: ["nats://127.0.0.1:4", "nats://127.0.0.1:4"] }, "Unavailable", "ECONNREFUSED"],
    [{ url: [] }, "Rejected", "no address"],
    [{ url: "redis://secret@127.0.0.1" }, "Rejected", "nats://host:port"],
    [{ url: "nats://" }, "Rejected", "nats://host:port"],
    [{ prefix: "a b" }, "Rejected", '"a b" cannot begin a subject'],
    [{ prefix: "a.>" }, "Rejected", "cannot begin"],
    [{ prefix: "" }, "Rejected", "cannot begin"]
  ] as const)("of opening with %o is %s", (options, tag, text) =>
    run(
      Effect.gen(function* () {
        const { _tag, message } = yield* failureOf(open(options))
        expect(_tag).toBe(tag)
        expect(message).toContain(text)
        expect(message).not.toContain("secret")
      })
    )
  )

  it("is the network's where the server stands still, in the time it was given", () =>
    run(
      Effect.gen(function* () {
        const own = yield* natsServer()
        const slow = engine({ url: own.url, timeout: 1_000 })
        const link = yield* slow.open(new Heard())
        yield* own.pause
        const started = performance.now()
        const [appended, asked, read, opened] = yield* Effect.all(
          [
            failureOf(link.append("a", bytes("1"), { producer: "p", epoch: 1, sequence: 1 })),
            failureOf(link.position),
            failureOf(link.since("a", undefined)),
            failureOf(Effect.scoped(slow.open(new Heard())))
          ],
          { concurrency: "unbounded" }
        )
        expect(appended).toMatchObject({ _tag: "Unavailable", outcome: "Unknown" })
        for (const error of [asked, read, opened])
          expect(error).toMatchObject({ _tag: "Unavailable", outcome: "NotPublished" })
        expect(performance.now() - started).toBeLessThan(10_000)
        yield* own.resume
        expect(yield* link.append("a", bytes("1"), { producer: "p", epoch: 1, sequence: 1 })).toMatchObject({
          repeated: true
        })
      })
    ))

  it("leaves no socket behind, however often a server is tried that stands still", () =>
    run(
      Effect.gen(function* () {
        const own = yield* natsServer()
        const slow = engine({ url: own.url, timeout: 50 })
        yield* Effect.scoped(slow.open(new Heard()))
        yield* eventually(() => sockets() === 0)
        yield* own.pause
        for (let i = 0; i < 5; i++) yield* failureOf(Effect.scoped(slow.open(new Heard())))
        const patient = engine({ url: own.url })
        for (let i = 0; i < 5; i++) yield* Effect.timeoutOption(Effect.scoped(patient.open(new Heard())), 20)
        yield* eventually(() => sockets() === 0)
      })
    ))

  it("is the network's where the connection goes, and nothing is said to have been published", () =>
    run(
      Effect.gen(function* () {
        const own = yield* natsServer()
        const link = yield* engine({ url: own.url }).open(new Heard())
        yield* own.kill
        expect((yield* link.ended).reason._tag).toBe("Unavailable")
        for (const failure of [
          link.append("a", bytes("1"), undefined),
          link.position,
          link.since("a", undefined),
          link.listen(["a"]),
          link.cast("a", bytes("1"))
        ]) {
          expect(yield* failureOf<unknown, never>(failure)).toMatchObject({
            _tag: "Unavailable",
            outcome: "NotPublished"
          })
        }
        link.unlisten(["a"])
        link.unhear(["a"])
      })
    ))
})
