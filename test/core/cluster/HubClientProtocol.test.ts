import { describe, expect, it } from "vitest"
import { type Actions, HubClientProtocol } from "@millrace/core/cluster/HubClientProtocol"
import type { HubReader } from "@millrace/core/cluster/HubReader"
import { toJson } from "@millrace/core/cluster/JsonText"
import type * as Position from "@millrace/core/cluster/Position"
import { HubModel } from "../../support/hubModel.ts"
import { words } from "../../support/hubNetwork.ts"

const bounds = { capacity: 4, capacityLength: 4_000, maxUnanswered: 2, patience: Infinity }

/** A client that says what it has to a hub, or to nobody who answers. */
class World {
  readonly hub = new HubModel()
  readonly client = new HubClientProtocol(bounds)
  readonly said: Array<{
    readonly type: string
    readonly data?: unknown
    readonly topic?: string
    readonly id: number
  }> = []
  private sequence = 0

  perform(actions: Actions): void {
    for (const action of actions) {
      if (action._tag === "Mark") this.perform(this.client.marked(action.publication, 0))
      if (action._tag !== "Say") continue
      this.hub.toHub.push(action.text)
      this.said.push(JSON.parse(action.text))
    }
  }

  connect(): void {
    this.hub.connect()
    this.client.connected()
    this.hear(1)
  }

  hear(most = Infinity): void {
    for (let i = 0; i < most && this.hub.toClient.length > 0; i++) this.tell(this.hub.toClient.shift()!)
  }

  tell(message: object | string): void {
    const text = typeof message === "string" ? message : JSON.stringify(message)
    this.perform(this.client.received(text, 0))
  }

  talk(): void {
    while (this.hub.toHub.length + this.hub.toClient.length > 0) {
      this.hub.hear()
      this.hear()
    }
  }

  read(topic: string, position?: Position.Position): HubReader {
    const reader = this.client.reader(topic, position, undefined)
    this.perform(this.client.subscribe(reader))
    return reader
  }

  take(reader: HubReader, most = Infinity): ReadonlyArray<unknown> {
    const [elements, actions] = this.client.take(reader, most)
    this.perform(actions)
    return words(elements)
  }

  publish(data: unknown): void {
    const key = { producer: "p", epoch: 0, sequence: this.sequence++ }
    const unanswered = { topic: "t", dataJson: toJson(data), key, echo: true, at: 0, saidAt: undefined }
    this.perform(this.client.kept(this.client.publish(unanswered), 0))
  }

  get published(): ReadonlyArray<unknown> {
    return this.said.flatMap(({ data, type }) => (type === "publish" ? [data] : []))
  }
}

describe("The protocol of a client of the hub", () => {
  it("loses nothing for a stream that had no room while another had the subscription asked for anew", () => {
    const world = new World()
    const slow = world.read("t", { epoch: "e0", offset: 0 })
    world.hub.restart()
    for (const data of [1, 2, 3]) world.hub.append("t", data)
    world.connect()
    world.hub.hear()
    // It is in, and has not heard yet that the log is another one.
    world.hear(1)
    world.read("t", { epoch: "e1", offset: 3 })
    // The last does not find room any more, and there is room again before the answer.
    world.hear()
    expect(slow.state).toBe("Lagging")
    const heard = [...world.take(slow, 2)]
    expect(slow.state).toBe("Waiting")
    world.talk()
    while (!slow.isEmpty) {
      heard.push(...world.take(slow))
      world.talk()
    }
    expect(heard).toEqual(["Subscribed", "Gap", 1, 2, 3])
  })

  it("says nothing about a topic that it was moved out of: the hub has done so", () => {
    const world = new World()
    world.connect()
    const reader = world.read("t")
    world.talk()
    const before = world.said.length
    world.hub.move("t", "attic")
    world.talk()
    expect(world.take(reader)).toEqual(["Subscribed", "Moved"])
    expect(world.said.slice(before)).toEqual([])
    expect(world.client.subscriptions.size).toBe(1)
  })

  it("says nothing new while the hub cannot take what is before it, and then in order", () => {
    const world = new World()
    world.connect()
    world.hub.isAvailable = false
    world.publish("first")
    world.talk()
    world.publish("second")
    world.talk()
    expect(world.published).toEqual(["first"])
    world.hub.isAvailable = true
    world.perform(world.client.retry(0))
    world.talk()
    expect(world.hub.log.map(({ data }) => data)).toEqual(["first", "second"])
  })

  it("has no more on their way at a time than it may, however many an earlier life has left", () => {
    const world = new World()
    for (let i = 0; i < 5; i++) world.publish(i)
    world.connect()
    expect(world.published).toEqual([0, 1])
    world.hub.hear()
    world.hear()
    expect(world.published).toEqual([0, 1, 2])
    world.talk()
    expect(world.hub.log.map(({ data }) => data)).toEqual([0, 1, 2, 3, 4])
  })

  it("asks again on each connection what was not answered", () => {
    const world = new World()
    world.connect()
    const [question, actions] = world.client.ask("t")
    world.perform(actions)
    world.hub.cut()
    world.perform(world.client.lost())
    world.connect()
    expect(world.said.map(({ topic, type }) => [type, topic])).toEqual([
      ["presence", "t"],
      ["presence", "t"]
    ])
    const [first, second] = world.said
    world.tell({ type: "error", code: "no-presence", message: "late", id: first!.id })
    expect(question.answer).toBeUndefined()
    world.tell({ type: "error", code: "no-presence", message: "nobody", id: second!.id })
    expect(question.answer).toMatchObject({ _tag: "Refused", detail: "nobody" })
    expect(world.client.isWaiting).toBe(false)
  })

  it("takes any number of topics for its own, whatever they are called", () => {
    const world = new World()
    world.connect()
    for (const topic of ["__proto__", "constructor", "toString"]) {
      const reader = world.read(topic)
      world.talk()
      world.hub.append(topic, topic)
      world.talk()
      expect(world.take(reader)).toEqual(["Subscribed", topic])
    }
  })
})
