import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { Element, PresenceElement } from "@millrace/core/cluster/HubElement"
import { type Actions, HubClientProtocol } from "@millrace/core/cluster/HubClientProtocol"
import type { Publication } from "@millrace/core/cluster/HubPublications"
import type { HubReader } from "@millrace/core/cluster/HubReader"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as Position from "@millrace/core/cluster/Position"
import { HubModel } from "../../support/hubModel.ts"

const topic = fc.constantFrom("a", "a", "a", "b", "b", "locked")
const open = fc.constantFrom("a", "b")

/** What may happen, in any order. */
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("connect" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cut" as const) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("hub hears" as const), count: fc.nat(6) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("client hears" as const), count: fc.nat(6) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("speak" as const), topic: open, count: fc.nat(8) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("read" as const), topic, back: fc.option(fc.nat(12)) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), which: fc.nat(5) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("pull" as const), which: fc.nat(5), most: fc.nat(5) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("publish" as const), topic, echo: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("give up" as const), which: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("kick" as const), topic: open }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("move" as const), from: open, to: open }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("trim" as const), count: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("available" as const), is: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("retry" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("say" as const), text: fc.constantFrom(...nonsense()) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("again" as const) }) }
)

/** What a client has to pass over. */
function nonsense(): ReadonlyArray<string> {
  return [
    "",
    "{",
    "null",
    "[]",
    '"message"',
    '{"type":"limits","topic":"a"}',
    '{"type":"message","topic":"a"}',
    '{"type":"message","topic":"a","data":1,"from":2,"time":"x"}',
    '{"type":"subscribed","topic":"a","id":99999,"position":"zz:9"}',
    '{"type":"subscribed","topic":7}',
    '{"type":"unsubscribed","topic":"a","id":99999}',
    '{"type":"published","topic":"a","id":99999,"receivers":1}',
    '{"type":"published","topic":"a","id":1}',
    '{"type":"gap","topics":"a"}',
    '{"type":"gap","topics":["nobody"]}',
    '{"type":"position","topic":"a","position":"no position"}',
    '{"type":"error","code":"brand-new","message":"?"}',
    '{"type":"error","id":3}',
    '{"type":"present","topic":"a","users":[1],"count":{}}',
    '{"type":"joined","topic":"a","user":"x"}',
    '{"type":"welcome","client":"eve","protocol":1}',
    '{"type":"__proto__","topic":"__proto__","id":1}'
  ]
}

interface Stream {
  readonly reader: HubReader
  readonly taken: Array<Element | PresenceElement>
  hasLeft: boolean
}

/** A client and a hub, between whom everything is in the test's hands. */
class World {
  readonly hub = new HubModel()
  readonly client = new HubClientProtocol({ capacity: 4, capacityLength: 400, maxUnanswered: 3, patience: Infinity })
  readonly streams: Array<Stream> = []
  readonly publications: Array<Publication> = []
  readonly settled: Array<Publication> = []
  readonly givenUp = new Set<Publication>()
  private sequence = 0
  private last: string | undefined

  perform(actions: Actions): void {
    for (const action of actions) {
      if (action._tag === "Say" && this.hub.joined !== undefined) this.hub.toHub.push(action.text)
      if (action._tag === "Settle") this.settled.push(action.publication)
      if (action._tag === "Mark") this.perform(this.client.marked(action.publication, 0))
    }
  }

  connect(): void {
    if (this.hub.joined !== undefined) return
    this.hub.connect()
    this.client.connected()
  }

  cut(): void {
    if (this.hub.joined === undefined) return
    this.hub.cut()
    this.perform(this.client.lost())
  }

  hear(): void {
    const text = this.hub.toClient.shift()
    if (text === undefined) return
    this.last = text
    this.perform(this.client.received(text, 0))
  }

  /** Once more what was told last, where a hub may say it twice. */
  again(): void {
    if (this.last !== undefined && /"(published|subscribed|pong|welcome)"/.test(this.last)) {
      this.perform(this.client.received(this.last, 0))
    }
  }

  read(topic: string, back: number | null): void {
    const { epoch, offset } = this.hub
    const position = back === null ? undefined : { epoch, offset: Math.max(0, offset - back) }
    const reader = this.client.reader(topic, position, undefined)
    this.streams.push({ reader, taken: [], hasLeft: false })
    this.perform(this.client.subscribe(reader))
  }

  pull(which: number, most: number): void {
    const stream = this.streams[which]
    if (stream === undefined || stream.hasLeft) return
    const [elements, actions] = this.client.take(stream.reader, most)
    stream.taken.push(...elements)
    this.perform(actions)
  }

  leave(which: number): void {
    const stream = this.streams[which]
    if (stream === undefined || stream.hasLeft) return
    stream.hasLeft = true
    this.perform(this.client.unsubscribe(stream.reader))
  }

  publish(topic: string, echo: boolean): void {
    const key = { producer: "p", epoch: 0, sequence: this.sequence++ }
    const data = toJson(key.sequence)
    const publication = this.client.publish({ topic, dataJson: data, key, echo, at: 0, saidAt: undefined })
    this.publications.push(publication)
    this.perform(this.client.kept(publication, 0))
  }

  run(steps: ReadonlyArray<Step>): void {
    for (const each of steps) {
      switch (each.do) {
        case "connect":
          this.connect()
          break
        case "cut":
          this.cut()
          break
        case "hub hears":
          for (let i = 0; i < each.count; i++) this.hub.hear()
          break
        case "client hears":
          for (let i = 0; i < each.count; i++) this.hear()
          break
        case "speak":
          for (let i = 0; i < each.count; i++) this.hub.append(each.topic, "spoken")
          break
        case "read":
          this.read(each.topic, each.back)
          break
        case "leave":
          this.leave(each.which)
          break
        case "pull":
          this.pull(each.which, each.most)
          break
        case "publish":
          this.publish(each.topic, each.echo)
          break
        case "give up": {
          const publication = this.publications[each.which]
          if (publication === undefined || publication.result !== undefined) break
          this.givenUp.add(publication)
          this.perform(this.client.giveUp(publication, 0))
          break
        }
        case "kick":
          this.hub.kick(each.topic)
          break
        case "move":
          this.hub.move(each.from, each.to)
          break
        case "restart":
          this.hub.restart()
          break
        case "trim":
          this.hub.trim(each.count)
          break
        case "available":
          this.hub.isAvailable = each.is
          break
        case "retry":
          this.perform(this.client.retry(0))
          break
        case "say":
          this.perform(this.client.received(each.text, 0))
          break
        case "again":
          this.again()
      }
    }
  }

  /** Until nothing happens any more by itself. */
  settle(): void {
    this.hub.isAvailable = true
    this.connect()
    for (let quiet = 0; quiet < 3; quiet++) {
      for (let steps = 0; this.hub.toHub.length + this.hub.toClient.length > 0; steps++) {
        if (steps > 20_000) throw new Error("they never stop to talk")
        while (this.hub.toHub.length > 0) this.hub.hear()
        while (this.hub.toClient.length > 0) this.hear()
        quiet = 0
      }
      this.streams.forEach((_, which) => this.pull(which, 2))
      if (this.streams.some(({ hasLeft, reader }) => !hasLeft && !reader.isEmpty)) quiet = 0
      this.perform(this.client.retry(0))
    }
  }
}

/** Whether all that a stream had to get it got, once and in order, or was told of; up to the end of the log. */
const check = (hub: HubModel, { reader, taken }: Stream, back: Position.Position | undefined): void => {
  let at: Position.Position | undefined = back
  let isLost = false
  let { topic } = taken[0] ?? reader
  const missing = (name: string, from: Position.Position, to: number) =>
    hub.log.filter(
      (entry) => entry.topic === name && entry.epoch === from.epoch && entry.offset > from.offset && entry.offset < to
    )
  for (const element of taken) {
    switch (element._tag) {
      case "Subscribed":
        expect(element).toBe(taken[0])
        at ??= element.position
        break
      case "Message": {
        const { position } = element
        expect(element.topic).toBe(topic)
        expect(hub.log).toContainEqual(expect.objectContaining({ topic, ...position, data: element.data }))
        if (at !== undefined && !isLost) {
          expect(position!.epoch).toBe(at.epoch)
          expect(position!.offset).toBeGreaterThan(at.offset)
          // Its own, that it did not want, may be among them.
          expect(missing(topic, at, position!.offset).filter(({ data }) => data === "spoken")).toEqual([])
        }
        at = position
        isLost = false
        break
      }
      case "Gap":
        if (element.to === undefined) isLost = true
        else {
          if (at?.epoch === element.to.epoch) expect(element.to.offset).toBeGreaterThan(at.offset)
          at = element.to
        }
        break
      case "Moved":
        topic = element.topic
        at = element.position
        isLost = false
    }
  }
  if (reader.state === "Over") return
  expect(reader.topic).toBe(topic)
  expect(at?.epoch).toBe(hub.epoch)
  expect(missing(topic, at!, Infinity).filter(({ data }) => data === "spoken")).toEqual([])
}

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** What random histories seldom come upon. */
const rare: Array<[Array<Step>]> = [
  [
    // One of two logs lags while the other has the subscription asked for anew.
    [
      { do: "read", topic: "a", back: null },
      { do: "read", topic: "b", back: 0 },
      { do: "restart" },
      { do: "speak", topic: "b", count: 3 },
      { do: "connect" },
      { do: "client hears", count: 1 },
      { do: "hub hears", count: 2 },
      { do: "read", topic: "b", back: 0 },
      { do: "client hears", count: 6 },
      { do: "pull", which: 1, most: 2 }
    ]
  ],
  [
    // It is moved into a topic before the hub hears from where it wants it.
    [
      { do: "speak", topic: "a", count: 3 },
      { do: "read", topic: "b", back: null },
      { do: "connect" },
      { do: "client hears", count: 1 },
      { do: "hub hears", count: 1 },
      { do: "client hears", count: 1 },
      { do: "read", topic: "a", back: 3 },
      { do: "move", from: "b", to: "a" }
    ]
  ]
]

describe("The protocol of a client of the hub", () => {
  it("gives each stream all of its topic once and in order, or tells the gap, whatever becomes of the connections", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: "max" }), (steps) => {
        const world = new World()
        world.run(steps)
        world.settle()
        for (const stream of world.streams) if (!stream.hasLeft) check(world.hub, stream, undefined)
      }),
      { numRuns: 2_000, examples: rare }
    )
  })

  it("settles every publication once, and none is in the log twice", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: "max" }), (steps) => {
        const world = new World()
        world.run(steps)
        world.settle()
        const wanted = world.publications.filter((publication) => !world.givenUp.has(publication))
        expect(new Set(world.settled).size).toBe(world.settled.length)
        expect(new Set(world.settled)).toEqual(new Set(wanted))
        const keys = world.hub.log.flatMap(({ key }) => (key === undefined ? [] : [key]))
        expect(new Set(keys).size).toBe(keys.length)
        for (const { result, unanswered } of wanted) {
          const isThere = keys.includes(JSON.stringify(unanswered.key))
          expect(result?._tag).toBe(unanswered.topic === "locked" ? "Failure" : "Success")
          expect(isThere).toBe(unanswered.topic !== "locked")
        }
        expect(world.client.publications.size).toBe(0)
      }),
      { numRuns: 2_000 }
    )
  })

  it("leaves nothing behind when everybody has gone", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
        const world = new World()
        world.run(steps)
        world.settle()
        world.streams.forEach((_, which) => world.leave(which))
        world.settle()
        expect(world.client.subscriptions.size).toBe(0)
        expect(world.client.isWaiting).toBe(false)
        expect([...world.hub.joined!]).toEqual([])
      }),
      { numRuns: 700 }
    )
  })
})
