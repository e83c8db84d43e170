/** A connection over a link that says when it has told of all that it had at hand. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { assert, describe, it } from "@effect/vitest"
import type { Link, Owner } from "@millrace/core/connection/Link"
import { LinkConnection } from "@millrace/core/connection/LinkConnection"

/** A link that a test speaks for. */
const scripted = (inboxBytes = 1_000_000) => {
  const later: Array<() => void> = []
  let owner: Owner | undefined
  const link: Link = {
    subprotocol: "",
    extensions: "",
    isOpen: true,
    buffered: 0,
    tellsDrained: true,
    canPause: false,
    pause: () => {},
    resume: () => {},
    send: () => {},
    close: () => {},
    abandon: () => {},
    afterwards: (run) => void later.push(run)
  }
  const connection = new LinkConnection({
    link: (told) => {
      owner = told
      return link
    },
    handshake: {},
    limits: { maxMessageBytes: 1_000, inboxBytes, outboxBytes: 1_000, closeTimeout: 1_000 },
    context: Context.empty()
  })
  return {
    connection,
    owner: owner!,
    /** What was put off, which is done in one go. */
    over: () => {
      for (const run of later.splice(0)) run()
    }
  }
}

/** Pulls for ever, into an array of what each pull gave. */
const pulling = ({ connection }: ReturnType<typeof scripted>) => {
  const pulled: Array<string> = []
  const once = Effect.map(connection.pull, (messages) => {
    pulled.push(messages.map((message) => (message._tag === "Text" ? message.text : "bytes")).join(" "))
  })
  return { pulled, fiber: Effect.runFork(Effect.exit(Effect.forever(once, { disableYield: true }))) }
}

describe("a connection whose link says when it has told of all", () => {
  it("gives the first message at once, and those behind it together", () => {
    const script = scripted()
    const { pulled } = pulling(script)
    for (const text of ["1", "2", "3"]) script.owner.message(text)
    assert.deepStrictEqual(pulled, ["1"])
    script.over()
    assert.deepStrictEqual(pulled, ["1", "2 3"])
    script.over()
    for (const text of ["4", "5"]) script.owner.message(text)
    assert.deepStrictEqual(pulled, ["1", "2 3", "4"])
    script.over()
    assert.deepStrictEqual(pulled, ["1", "2 3", "4", "5"])
  })

  it.effect("gives what has come to who asks meanwhile", () =>
    Effect.gen(function* () {
      const { connection, over, owner } = scripted()
      for (const text of ["1", "2"]) owner.message(text)
      assert.strictEqual((yield* connection.pull).length, 2)
      over()
      const next = yield* Effect.forkChild(connection.pull, { startImmediately: true })
      owner.message("3")
      assert.strictEqual((yield* Fiber.join(next)).length, 1)
    })
  )

  it("puts nothing off for which there is no room", () => {
    const script = scripted(100)
    const { pulled } = pulling(script)
    for (const text of ["1", "2", "3", "4", "5"]) script.owner.message(text)
    assert.deepStrictEqual(pulled, ["1", "2 3", "4 5"])
    script.over()
    assert.deepStrictEqual(pulled, ["1", "2 3", "4 5"])
  })

  it.effect("gives what was put off before the end", () =>
    Effect.gen(function* () {
      const script = scripted()
      const { fiber, pulled } = pulling(script)
      for (const text of ["1", "2"]) script.owner.message(text)
      script.owner.ended({ code: 1000, reason: "" })
      assert.deepStrictEqual(pulled, ["1", "2"])
      yield* Fiber.await(fiber)
      script.over()
      assert.deepStrictEqual(pulled, ["1", "2"])
    })
  )
})
