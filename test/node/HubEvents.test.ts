/** The hub's topics as event streams: what arrives, what a client that comes back gets, and who may ask. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as EventStream from "@millrace/core/codec/EventStream"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as Target from "@millrace/core/cluster/Target"
import * as Origin from "@millrace/core/codec/Origin"
import * as Result from "effect/Result"
import * as HubServer from "@millrace/node/HubServer"
import { ask as askOver, type Answer, type Asking } from "../support/eventStreamServer.ts"
import { eventually, settled } from "../support/eventually.ts"
import { remoteBroker } from "../support/members.ts"

const ask = (port: number, path: string, asking: Asking = {}) => askOver("node:http", port, { path, ...asking })

const parsed = (answer: Answer) => EventStream.parse(new TextEncoder().encode(answer.text()))

/** Waits for so many events, and gives what they say. */
const heard = (answer: Answer, count: number) =>
  Effect.map(
    eventually(() => parsed(answer).events.length >= count),
    () => parsed(answer).events
  )

const publish = ({ hub }: HubServer.Running, topic: string, data: unknown) =>
  hub.publish(topic, HubMessage.encodeMessage({ topic, dataJson: HubMessage.toJson(data), from: "test", time: 0 }))

/** Waits until the hub has so many members of a topic. */
const joined = ({ hub }: HubServer.Running, topic: string, count = 1) => eventually(() => hub.members(topic) === count)

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

const data = (events: ReadonlyArray<EventStream.Event>) => events.map((event) => JSON.parse(event.data).data)

describe("GET /events", () => {
  it.live("has what is published to its topics, as WebSockets have it, with its position", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const answer = yield* ask(running.port, "/events?topic=a&topic=%C3%BC&topic=a")
      yield* joined(running, "ü")
      assert.deepStrictEqual([answer.status, answer.header("content-type")], [200, "text/event-stream"])
      yield* publish(running, "a", { n: 1 })
      yield* publish(running, "c", "no")
      yield* publish(running, "ü", ["line\nend"])
      const [one, two, ...rest] = yield* heard(answer, 2)
      assert.strictEqual(one?.data, '{"type":"message","topic":"a","data":{"n":1},"from":"test","time":0}')
      assert.strictEqual(JSON.parse(two!.data).topic, "ü")
      assert.match(`${one!.id} ${two!.id}`, /^([\w-]{8}):1 \1:3$/)
      assert.deepStrictEqual([one!.event, rest], ["message", []])
    })
  )

  it.live("knows its position before there is an event", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      yield* publish(running, "a", 1)
      const answer = yield* ask(running.port, "/events?topic=a")
      yield* eventually(() => parsed(answer).lastEventId.endsWith(":1"))
      assert.deepStrictEqual(parsed(answer).events, [])
    })
  )

  it.live("leaves its topics when the client goes", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const answer = yield* ask(running.port, "/events?topic=a&topic=b")
      yield* joined(running, "b")
      const health = () =>
        Effect.promise(() => fetch(`http://127.0.0.1:${running.port}/health`).then((one) => one.json()))
      assert.include(yield* health(), { connections: 1, topics: 2 })
      answer.leave()
      yield* joined(running, "a", 0)
      assert.include(yield* health(), { connections: 0, topics: 0 })
    })
  )

  it.live("gives who comes back what it missed, in order and once, and then what comes", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const first = yield* ask(running.port, "/events?topic=a&topic=b")
      yield* joined(running, "b")
      yield* publish(running, "a", 1)
      const [{ id } = { id: "" }] = yield* heard(first, 1)
      first.leave()
      yield* joined(running, "a", 0)
      for (const [topic, n] of [
        ["b", 2],
        ["c", 3],
        ["a", 4],
        ["b", 5]
      ] as const)
        yield* publish(running, topic, n)
      const asMany = { headers: { "last-event-id": id } }
      const second = yield* ask(running.port, "/events?topic=a&topic=b", asMany)
      yield* joined(running, "b")
      yield* publish(running, "a", 6)
      assert.deepStrictEqual(data(yield* heard(second, 4)), [2, 4, 5, 6])
      const third = yield* ask(running.port, `/events?topic=b&lastEventId=${encodeURIComponent(id)}`)
      assert.deepStrictEqual(data(yield* heard(third, 2)), [2, 5])
    })
  )

  it.live("loses nothing and repeats nothing, wherever it is cut, while others publish", () =>
    Effect.gen(function* () {
      const total = 3_000
      const running = yield* HubServer.serve({ history: { maxEntries: total } })
      const seen: Array<number> = []
      let lastEventId = ""
      /** Has so many bytes of a response, and is cut. */
      const hear = (bytes: number) =>
        Effect.gen(function* () {
          const headers: Record<string, string> = lastEventId === "" ? {} : { "last-event-id": lastEventId }
          const answer = yield* ask(running.port, "/events?topic=a", { headers })
          yield* eventually(() => answer.text().length >= bytes || answer.text().includes(`"data":${total},`))
          answer.leave()
          const cut = new TextEncoder().encode(answer.text()).subarray(0, bytes)
          const heard = EventStream.parse(cut, { lastEventId })
          lastEventId = heard.lastEventId
          for (const event of heard.events) seen.push(event.event === "message" ? JSON.parse(event.data).data : event)
        }).pipe(Effect.scoped)
      yield* hear(20)
      yield* Effect.forkChild(Effect.forEach(numbers(total), (n) => Effect.andThen(turn, publish(running, "a", n))))
      for (let bytes = 50; seen.length < total; bytes = (bytes * 7_919) % 20_011) yield* hear(bytes + 200)
      assert.deepStrictEqual(seen, numbers(total))
    })
  )

  it.live("gives what is published while it gives what was missed, however slowly that is read", () =>
    Effect.gen(function* () {
      const history = { maxBytes: 20_000_000, maxTotalBytes: 20_000_000 }
      const running = yield* HubServer.serve({ history })
      const first = yield* ask(running.port, "/events?topic=a")
      yield* eventually(() => parsed(first).lastEventId !== "")
      first.leave()
      yield* joined(running, "a", 0)
      const big = "x".repeat(60_000)
      for (const n of numbers(200)) yield* publish(running, "a", [n, big])
      const headers = { "last-event-id": parsed(first).lastEventId }
      const second = yield* ask(running.port, "/events?topic=a", { headers })
      yield* settled
      // Something stands in for it, and keeps what is published meanwhile.
      assert.strictEqual(running.hub.members("a"), 1)
      for (const n of [201, 202]) yield* publish(running, "a", [n, big])
      yield* eventually(() => second.text().split("\n\n").length > 203 && running.hub.members("a") === 1)
      yield* publish(running, "a", [203, ""])
      const events = yield* heard(second, 203)
      assert.deepStrictEqual(
        data(events).map(([n]) => n),
        numbers(203)
      )
    })
  )

  it.live("tells of a gap what was missed and is not kept, and gives what is", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ history: { maxEntries: 2 } })
      const first = yield* ask(running.port, "/events?topic=a&topic=b")
      yield* eventually(() => parsed(first).lastEventId !== "")
      const id = parsed(first).lastEventId
      for (const n of numbers(3)) yield* publish(running, "a", n)
      yield* publish(running, "b", 4)
      const second = yield* ask(running.port, "/events?topic=a&topic=b", { headers: { "last-event-id": id } })
      const [gap, ...rest] = yield* heard(second, 4)
      // Behind what it did not get: a client that is cut here is not told of it twice.
      const to = id.replace(/0$/, "1")
      const told = { type: "gap", topics: ["a"], from: id, to }
      assert.deepStrictEqual(gap, { event: "gap", id: to, data: JSON.stringify(told) })
      assert.deepStrictEqual(data(rest), [2, 3, 4])
      // It has not missed the gap's messages twice: it can go on from the one that it has.
      const third = yield* ask(running.port, "/events?topic=a", { headers: { "last-event-id": rest[0]!.id } })
      assert.deepStrictEqual(data(yield* heard(third, 1)), [3])
    })
  )

  it.live("tells of a gap to who has been at another hub, or makes a position up", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      yield* publish(running, "a", 1)
      for (const id of ["another:1", "nonsense", "\u00ff\u00fe:\u00fd", "__proto__"]) {
        const answer = yield* ask(running.port, "/events?topic=a", { headers: { "last-event-id": id } })
        const [gap, one] = yield* heard(answer, 2)
        assert.strictEqual(gap?.event, "gap")
        assert.match(gap!.id, /^[\w-]{8}:0$/)
        assert.deepStrictEqual(data([one!]), [1])
      }
    })
  )

  it.live("tells who is moved or kicked as a WebSocket is told, and forgets it with its stream", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ history: { epoch: "e" } })
      const answer = yield* ask(running.port, "/events?topic=a&topic=b")
      yield* joined(running, "b")
      const all = Target.topics("a", "b")
      assert.strictEqual(yield* running.hub.move(all, "a", "attic"), 1)
      for (const topic of ["a", "attic"]) yield* publish(running, topic, topic)
      assert.strictEqual(yield* running.hub.kick(Target.topic("b"), "b", "rude"), 1)
      const events = yield* heard(answer, 3)
      assert.deepStrictEqual(
        events.map(({ data, event }) => [event, JSON.parse(data)]).filter(([event]) => event !== "message"),
        [
          ["moved", { type: "moved", from: "a", to: "attic", position: "e:0" }],
          ["unsubscribed", { type: "unsubscribed", topic: "b", reason: "kicked", message: "rude" }]
        ]
      )
      assert.deepStrictEqual(data(events.filter(({ event }) => event === "message")), ["attic"])
      answer.leave()
      yield* eventually(() => running.hub.topics() === 0)
    })
  )

  it.live("disconnects who does not read, which can come back for the rest", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ limits: { outboxBytes: 65_536 } })
      const slow = yield* ask(running.port, "/events?topic=a")
      yield* joined(running, "a")
      slow.body.pause()
      const big = "x".repeat(30_000)
      let count = 0
      while (running.hub.members("a") === 1) {
        yield* publish(running, "a", [++count, big])
        yield* turn
      }
      yield* eventually(() => slow.ended())
      const events = parsed(slow).events
      assert.isBelow(events.length, count)
      assert.deepStrictEqual(running.hub.counters(), { disconnected: 1, dropped: 0, coalesced: 0, suspended: 0 })
      const last = { "last-event-id": events.at(-1)!.id }
      const again = yield* ask(running.port, "/events?topic=a", { headers: last })
      const rest = yield* heard(again, count - events.length)
      assert.deepStrictEqual(
        [...data(events), ...data(rest)].map(([n]) => n),
        numbers(count)
      )
    })
  )

  it.live("ends with the hub", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const running = yield* Scope.provide(HubServer.serve(), scope)
      const answer = yield* ask(running.port, "/events?topic=a")
      yield* joined(running, "a")
      yield* publish(running, "a", 1)
      yield* Scope.close(scope, Exit.void)
      yield* eventually(() => answer.ended())
      assert.deepStrictEqual(data(parsed(answer).events), [1])
      assert.strictEqual(running.hub.members("a"), 0)
    })
  )

  it.live("is refused without topics, with a bad one, with too many, and with another method", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve()
      const refused = (path: string, asking: Asking = {}) =>
        Effect.gen(function* () {
          const answer = yield* ask(port, path, asking)
          yield* eventually(() => answer.ended())
          return [answer.status, JSON.parse(answer.text()).error.code]
        })
      assert.deepStrictEqual(yield* refused("/events"), [400, "bad-message"])
      assert.deepStrictEqual(yield* refused("/events?topic="), [400, "bad-topic"])
      assert.deepStrictEqual(yield* refused("/events?topic=a&topic=$internal"), [400, "bad-topic"])
      assert.deepStrictEqual(yield* refused("/events?topic=a%0A"), [400, "bad-topic"])
      const many = numbers(129).map((n) => `topic=${n}`)
      assert.deepStrictEqual(yield* refused(`/events?${many.join("&")}`), [400, "too-many-topics"])
      assert.deepStrictEqual(yield* refused("/events?topic=a", { method: "POST" }), [405, "method-not-allowed"])
      assert.strictEqual((yield* ask(port, "/events?topic=a", { headers: { accept: "text/html" } })).status, 406)
      assert.strictEqual((yield* ask(port, "/events?topic=a", { method: "HEAD" })).status, 200)
    })
  )
})

describe("a page of another origin", () => {
  const origin = "https://app.example.com"

  it.live("may not ask, unless it is allowed as for WebSockets", () =>
    Effect.gen(function* () {
      const strict = yield* HubServer.serve()
      const forbidden = yield* ask(strict.port, "/events?topic=a", { headers: { origin } })
      assert.deepStrictEqual(
        [forbidden.status, forbidden.header("access-control-allow-origin"), forbidden.header("vary")],
        [403, undefined, "Origin"]
      )
      const own = { origin: `http://127.0.0.1:${strict.port}` }
      assert.strictEqual((yield* ask(strict.port, "/events?topic=a", { headers: own })).status, 200)

      const open = yield* HubServer.serve({ origin: Result.getOrThrow(Origin.allow([origin])) })
      const allowed = yield* ask(open.port, "/events?topic=a", { headers: { origin } })
      assert.deepStrictEqual(
        [
          allowed.status,
          allowed.header("access-control-allow-origin"),
          allowed.header("access-control-allow-credentials")
        ],
        [200, origin, "true"]
      )
      const other = yield* ask(open.port, "/events?topic=a", { headers: { origin: `${origin}.evil` } })
      assert.strictEqual(other.status, 403)
    })
  )

  it.live(
    "is told that it may send Last-Event-ID, and may not read what the user is known by where every page may",
    () =>
      Effect.gen(function* () {
        const { port } = yield* HubServer.serve({ origin: Origin.any })
        const answer = yield* ask(port, "/events?topic=a", { method: "OPTIONS", headers: { origin } })
        assert.deepStrictEqual(
          [answer.status, answer.header("access-control-allow-headers"), answer.header("access-control-allow-origin")],
          [204, "Last-Event-ID, Cache-Control, Authorization", origin]
        )
        assert.strictEqual(answer.header("access-control-allow-credentials"), undefined)
      })
  )
})

describe("GET /.well-known/mercure", () => {
  it.live("answers while the broker is away, whatever the client says where it was", () =>
    Effect.gen(function* () {
      const { broker, goAway } = yield* remoteBroker()
      const { port } = yield* HubServer.serve({ broker })
      goAway()
      for (const epoch of ["e", "a\r\nx-evil: 1", "a\nid: x", "a\0", "é✓𝄞"]) {
        const position = encodeURIComponent(`${epoch}:5`)
        const answer = yield* ask(port, `/.well-known/mercure?topic=t&lastEventID=${position}`)
        const said = [answer.status, answer.header("mercure-last-event-id"), answer.header("x-evil")]
        assert.deepStrictEqual(said, [200, epoch === "e" ? "e:5" : ":0", undefined])
      }
    })
  )

  it.live("has what was published as the data, by topic or match, and says from where it goes on", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ history: { maxEntries: 2 } })
      const topic = "https://example.com/books/1"
      const path = "/.well-known/mercure?topic=other&match=" + encodeURIComponent(topic)
      const first = yield* ask(running.port, path)
      yield* joined(running, topic)
      assert.strictEqual(first.header("mercure-last-event-id"), undefined)
      const dataJson = '{"n":12345678901234567890,"type":"message"}' as HubMessage.JsonText
      yield* running.hub.publish(topic, HubMessage.encodeMessage({ topic, dataJson, from: "test", time: 0 }))
      yield* running.hub.publish(topic, "as it is")
      const [one, two] = yield* heard(first, 2)
      assert.deepStrictEqual([one?.event, one?.data, two?.data], ["message", dataJson, "as it is"])

      const second = yield* ask(running.port, path, { headers: { "last-event-id": one!.id } })
      assert.strictEqual(second.header("mercure-last-event-id"), one!.id)
      assert.deepStrictEqual((yield* heard(second, 1))[0]?.data, "as it is")
      const earliest = yield* ask(running.port, `${path}&last_event_id=earliest`)
      assert.deepStrictEqual(
        (yield* heard(earliest, 2)).map((event) => event.data),
        [dataJson, "as it is"]
      )
      yield* running.hub.publish(topic, "one too many")
      const kept = yield* ask(running.port, `${path}&last_event_id=earliest`)
      assert.deepStrictEqual(
        (yield* heard(kept, 2)).map((event) => event.data),
        ["as it is", "one too many"]
      )
      const lost = yield* ask(running.port, `${path}&lastEventID=lost`)
      assert.strictEqual(lost.header("mercure-last-event-id"), one!.id)
    })
  )
})
