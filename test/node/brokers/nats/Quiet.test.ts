import { expect, it } from "vitest"
import { Quiet } from "@millrace/node/brokers/nats/Quiet"

it("knows nothing of what it was not told", () => {
  const quiet = new Quiet()
  const listener = quiet.begin("e")
  listener.asked(9)
  listener.asked(20)
  expect(quiet.behind("e", "a", 3)).toBe(3)
})

it("knows that nothing was published while it listened, up to where it was told all", () => {
  const quiet = new Quiet()
  const listener = quiet.begin("e")
  listener.listens("a", 3)
  listener.asked(9)
  listener.asked(20)
  expect([2, 3, 5, 9, 12].map((after) => quiet.behind("e", "a", after))).toEqual([2, 9, 9, 9, 12])
  expect(quiet.behind("f", "a", 3)).toBe(3)
  expect(quiet.behind("e", "b", 3)).toBe(3)
})

it("knows nothing from before what was published last", () => {
  const quiet = new Quiet()
  const listener = quiet.begin("e")
  listener.listens("a", 3)
  listener.heard("a", 5)
  listener.heard("a", 4)
  listener.listens("a", 4)
  listener.asked(9)
  listener.asked(20)
  expect([3, 4, 5].map((after) => quiet.behind("e", "a", after))).toEqual([3, 4, 9])
})

it("forgets what it stops to listen to", () => {
  const quiet = new Quiet()
  const listener = quiet.begin("e")
  listener.heard("a", 5)
  listener.stops("a")
  listener.asked(9)
  listener.asked(20)
  expect(quiet.behind("e", "a", 5)).toBe(5)
})

it("goes on from one link to the next where nothing lies between them, and over links that told nothing", () => {
  const quiet = new Quiet()
  const one = quiet.begin("e")
  one.listens("a", 1)
  one.listens("b", 1)
  one.asked(4)
  one.asked(20)
  for (let i = 0; i < 5; i++) quiet.begin("e")
  const other = quiet.begin("e")
  other.listens("a", 4)
  other.listens("b", 6)
  other.asked(9)
  other.asked(20)
  expect(quiet.behind("e", "a", 1)).toBe(9)
  expect(quiet.behind("e", "b", 1)).toBe(4)
  quiet.begin("f")
  expect(quiet.behind("e", "a", 1)).toBe(1)
})

it("takes for told only what the log had when it was asked before", () => {
  const quiet = new Quiet()
  const listener = quiet.begin("e")
  listener.listens("a", 1)
  listener.asked(5)
  expect(quiet.behind("e", "a", 1)).toBe(1)
  listener.asked(9)
  expect(quiet.behind("e", "a", 1)).toBe(5)
})
