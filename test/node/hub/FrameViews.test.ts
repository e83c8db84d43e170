/** The frames of a connection at which nobody looks. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Extension from "@millrace/core/connection/Extension"
import * as Transport from "@millrace/core/connection/Transport"
import * as FrameViews from "@millrace/node/hub/FrameViews"
import { encode, frame } from "../../support/frames.ts"
import { utf8 } from "../../support/wire.ts"

const facts = { role: "server", url: "/ws", subprotocol: undefined, extensions: Extension.none } as const

const hello = encode(frame(1, utf8("hello")))

/** Bytes that may be passed on and not be looked at. */
const sealed = new Proxy(hello, {
  get: () => {
    throw new Error("somebody has looked")
  }
})

/** Takes everything, and looks at nothing. */
const sink: Transport.Transport = { ...Transport.makePair()[0], open: () => {}, write: () => {}, writableLength: 0 }

describe("a connection at which nobody looks", () => {
  it.effect("is let go after as long as one may wait, and then its bytes are not looked at", () =>
    Effect.gen(function* () {
      const views = yield* FrameViews.make(1_000, { patience: "10 seconds" })
      const view = views.open(undefined)
      const tapped = view.tap(sink, facts)
      assert.strictEqual(views.find(view.token!, undefined), view)
      yield* TestClock.adjust("9 seconds")
      assert.throws(() => tapped.write(sealed), /somebody has looked/)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(views.size, 0)
      // It is noticed with the next frame.
      tapped.write(hello)
      tapped.write(sealed)
    })
  )

  it.effect("is the transport itself where there are enough", () =>
    Effect.gen(function* () {
      const views = yield* FrameViews.make(1_000, { maxConnections: 1 })
      const [one, other] = [views.open(undefined), views.open(undefined)]
      assert.notStrictEqual(one.tap(sink, facts), sink)
      assert.strictEqual(other.tap(sink, facts), sink)
      assert.deepStrictEqual([typeof one.token, other.token, views.size], ["string", undefined, 1])
    })
  )
})
