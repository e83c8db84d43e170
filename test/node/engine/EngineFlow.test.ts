/** What two nodes say to each other for one request or WebSocket, where what carries it does not do so each time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Json } from "@millrace/core/cluster/Questions"
import { type Ack, type End, Flow, type Line, type Taker } from "@millrace/node/engine/EngineFlow"
import { eventually } from "../../support/eventually.ts"

type Outcome = "answer lost" | "lost" | "ok"

/** Two ends of one flow; each question has the next of the outcomes, and after the last of them all is well. */
const pair = (outcomes: Array<Outcome>, maxLength = 1_000_000) => {
  const heard: Array<string | Uint8Array> = []
  const ends: Array<readonly [side: string, by: string, end: End | undefined]> = []
  const asked: Array<number> = []
  const sides = new Map<string, Flow>()
  let room: Effect.Effect<void> = Effect.void
  const lineTo = (side: string): Line => ({
    maxLength,
    run: (effect) => void Effect.runFork(effect),
    over: () => {},
    ask: (_, part) =>
      Effect.suspend((): Effect.Effect<Ack | undefined> => {
        const outcome = outcomes.shift() ?? "ok"
        if (outcome === "lost") return Effect.succeed(undefined)
        const sent = JSON.stringify(part)
        asked.push(sent.length)
        const [, number, , items, end] = JSON.parse(sent) as ReadonlyArray<Json>
        const taken = sides.get(side)!.receive(number as number, items as ReadonlyArray<unknown>, end)
        return outcome === "ok" ? taken : Effect.as(taken, undefined)
      })
  })
  const taker = (side: string): Taker => ({
    message: (data) => void heard.push(data),
    room: Effect.suspend(() => room),
    ended: (by, end) => void ends.push([side, by, end])
  })
  const [one, other] = [
    new Flow(lineTo("other"), "id", "other", ["socket", "sid"]),
    new Flow(lineTo("one"), "id", "one")
  ]
  sides.set("one", one).set("other", other)
  other.start(taker("other"))
  one.start(taker("one"))
  return { asked, ends, heard, one, other, setRoom: (is: Effect.Effect<void>) => void (room = is) }
}

describe("a flow", () => {
  it.live("brings each message once and in order, also where questions and answers are lost", () =>
    Effect.gen(function* () {
      const { ends, heard, one, other } = pair(["lost", "answer lost", "ok", "answer lost", "lost", "ok"])
      const said = Array.from({ length: 20 }, (_, n) => `${n}`)
      for (const word of said) {
        one.send(word)
        yield* Effect.yieldNow
      }
      one.finish(200, "ok")
      yield* eventually(() => ends.length === 2)
      assert.deepStrictEqual(heard, said)
      const end = { code: 200, text: "ok" }
      assert.deepStrictEqual(ends, [
        ["other", "them", end],
        ["one", "us", end]
      ])
      assert.isTrue(one.isOver && other.isOver)
    })
  )

  it.live("cuts what is long, and puts it together: text, also between halves of a character, and bytes", () =>
    Effect.gen(function* () {
      const { asked, ends, heard, one } = pair([])
      const text = `x${"😀\u0001".repeat(100_000)}`
      const bytes = new Uint8Array(300_001).map((_, i) => i % 251)
      for (const data of [text, "", bytes, new Uint8Array(0), "z"]) one.send(data)
      one.finish(0, "")
      yield* eventually(() => ends.length === 2)
      assert.deepStrictEqual(heard, [text, "", bytes, new Uint8Array(0), "z"])
      assert.isBelow(Math.max(...asked), 262_144)
    })
  )

  it.live("asks again where there is no room, and takes what was sent when there is", () =>
    Effect.gen(function* () {
      const { asked, heard, one, setRoom } = pair([])
      setRoom(Effect.never)
      one.send("late")
      assert.strictEqual(one.buffered, 4)
      yield* eventually(() => asked.length === 2)
      assert.deepStrictEqual(heard, [])
      setRoom(Effect.void)
      yield* eventually(() => heard.length === 1 && one.buffered === 0)
    })
  )

  it.live("is lost where a message has no end", () =>
    Effect.gen(function* () {
      const { ends, heard, one } = pair([], 50_000)
      one.send("x".repeat(70_000))
      yield* eventually(() => ends.length > 0)
      assert.deepStrictEqual([heard, ends[0]], [[], ["other", "lost", undefined]])
    })
  )
})
