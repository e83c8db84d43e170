/** What is told of many topics, in the order of their log. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { EngineOrder } from "@millrace/core/cluster/EngineOrder"

const make = (maxBytes = 1_000) => {
  const told: Array<string> = []
  const order = new EngineOrder<string>(maxBytes)
  return {
    order,
    told,
    offer: (name: string, offset: number, epoch = "e", bytes = 1) =>
      order.offer({ epoch, offset }, bytes, () => told.push(`${name}${offset}`))
  }
}

describe("what is offered", () => {
  it("is told at once while all topics are settled", () => {
    const { offer, order, told } = make()
    offer("a", 1)
    order.settle("a")
    offer("b", 2)
    expect([told, order.isOpen]).toEqual([["a1", "b2"], true])
  })

  it("waits until the last topic is settled, and is told in the order of the log", () => {
    const { offer, order, told } = make()
    order.hold("a")
    order.hold("b")
    order.hold("a")
    offer("c", 9)
    offer("a", 3)
    order.settle("a")
    offer("a", 8)
    offer("b", 4)
    expect([told, order.size, order.isOpen]).toEqual([[], 4, false])
    order.settle("b")
    expect([told, order.size, order.isOpen]).toEqual([["a3", "b4", "a8", "c9"], 0, true])
  })

  it("of one topic stays as it came, whatever the logs are called", () => {
    const { offer, order, told } = make()
    order.hold("a")
    offer("b", 7, "new")
    offer("a", 5, "old")
    offer("a", 1, "new")
    offer("b", 8, "new")
    order.settle("a")
    expect(told).toEqual(["b7", "a5", "a1", "b8"])
  })

  it("of a log that went back comes behind what was told of it before", () => {
    const { offer, order, told } = make()
    order.hold("a")
    offer("a", 5)
    order.begin()
    offer("a", 2)
    offer("b", 1)
    order.settle("a")
    expect(told).toEqual(["a5", "b1", "a2"])
  })

  it("of one position is told as it came: a gap, and who begins behind it", () => {
    const { offer, order, told } = make()
    order.hold("a")
    offer("gap ", 3)
    offer("begin ", 3)
    offer("b", 2)
    order.settle("a")
    expect(told).toEqual(["b2", "gap 3", "begin 3"])
  })

  it("does not wait when it is too much", () => {
    const { offer, order, told } = make(10)
    order.hold("a")
    offer("c", 9, "e", 5)
    offer("b", 2, "e", 5)
    expect(told).toEqual([])
    offer("b", 4, "e", 1)
    expect([told, order.size]).toEqual([["b2", "b4", "c9"], 0])
  })

  it("comes each once, and of each topic in order, whoever is held when", () => {
    const step = fc.record({ topic: fc.constantFrom("a", "b", "c"), what: fc.constantFrom("hold", "settle", "offer") })
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const { offer, order, told } = make()
        const offered: Array<string> = []
        steps.forEach(({ topic, what }, i) => {
          if (what === "hold") order.hold(topic)
          else if (what === "settle") order.settle(topic)
          else {
            offer(topic, i)
            offered.push(`${topic}${i}`)
          }
        })
        for (const topic of ["a", "b", "c"]) order.settle(topic)
        expect(told).toEqual(offered)
      })
    )
  })
})
