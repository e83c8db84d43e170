/** Two ends of a message channel as connections: what goes over it, who has to wait, and how it ends. */
// oxlint-disable unicorn/require-post-message-target-origin -- it is windows that have one
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { assert, describe, it } from "@effect/vitest"
import { LinkConnection } from "@millrace/core/connection/LinkConnection"
import { PortLink, type Options, type Port } from "@millrace/browser/tabs/PortLink"
import { plain } from "../../support/connection.ts"
import { eventually, settled } from "../../support/eventually.ts"

const limits = { maxMessageBytes: Infinity, inboxBytes: 65_536, outboxBytes: 65_536, closeTimeout: 200 }

const over = (port: Port, options?: Options) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const opened = yield* Deferred.make<void>()
    let link: PortLink
    const connection = new LinkConnection({
      link: (owner) => (link = new PortLink(port, owner, options)),
      handshake: undefined,
      limits,
      context,
      onSettled: () => Deferred.doneUnsafe(opened, Effect.void)
    })
    yield* Effect.addFinalizer((exit) => connection.shutdown(exit))
    return { connection, link: link!, opened: Deferred.await(opened) }
  })

/** The end that asks, and then the one that was asked. */
const pair = (asking?: Options, asked?: Options) =>
  Effect.gen(function* () {
    const { port1, port2 } = new MessageChannel()
    const one = yield* over(port1, asking)
    const other = yield* over(port2, { life: { name: "life" }, ...asked })
    yield* one.opened
    return { one, other, ports: [port1, port2] as const }
  })

/** What another script of the origin may say that knows the words. */
const forged = [
  { _tag: "Close" },
  { _tag: "Close", code: "1000", reason: "" },
  { _tag: "Close", code: 1000, reason: {} },
  { _tag: "Opened", life: 1 },
  { _tag: "Read" },
  { _tag: "Read", cost: NaN },
  { _tag: "Read", cost: -1 },
  { _tag: "Read", cost: Infinity }
]

describe("PortLink", () => {
  it.live("hands over text and bytes as they are, in order, both ways", () =>
    Effect.gen(function* () {
      const { one, other } = yield* pair()
      const all = ["", "é🌊\u0000\ud800", new Uint8Array(0), Uint8Array.of(0, 255), "x".repeat(1 << 20)]
      yield* one.connection.sendAll(all)
      assert.deepStrictEqual(plain(yield* Stream.runCollect(Stream.take(other.connection.messages, all.length))), all)
      yield* other.connection.sendAll(all)
      assert.deepStrictEqual(plain(yield* Stream.runCollect(Stream.take(one.connection.messages, all.length))), all)
    })
  )

  it.live("is open when the other end is there, and knows by which lock it lives", () =>
    Effect.gen(function* () {
      const { port1, port2 } = new MessageChannel()
      const lives: Array<unknown> = []
      const one = yield* over(port1, { onOpened: (life) => lives.push(life) })
      assert.isFalse(one.link.isOpen)
      yield* over(port2, { life: { name: "mine" } })
      yield* one.opened
      assert.isTrue(one.link.isOpen)
      assert.deepStrictEqual(lives, ["mine"])
    })
  )

  it.live("has who sends wait while nobody reads, and loses nothing", () =>
    Effect.gen(function* () {
      const { one, other } = yield* pair()
      let sent = 0
      const text = "x".repeat(1_000)
      const sending = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 1_000 }, (_, i) => `${i} ${text}`),
          (text) => Effect.tap(one.connection.send(text), () => Effect.sync(() => sent++)),
          { discard: true }
        )
      )
      yield* settled
      yield* settled
      // What may be under way, and what waits to be read: never all of it.
      assert.isBelow(sent, 250)
      const messages = yield* Stream.runCollect(Stream.take(other.connection.messages, 1_000))
      assert.deepStrictEqual(
        plain(messages).map((message) => Number.parseInt(message as string)),
        Array.from({ length: 1_000 }, (_, i) => i)
      )
      yield* Fiber.join(sending)
    })
  )

  it.live("ends at both ends with what one of them said, behind what it had sent", () =>
    Effect.gen(function* () {
      const { one, other } = yield* pair()
      yield* one.connection.send("last")
      yield* one.connection.close(4_321, "enough")
      assert.deepStrictEqual(plain(yield* Stream.runCollect(Stream.take(other.connection.messages, 1))), ["last"])
      const error = yield* Effect.flip(other.connection.receive)
      assert.include(error, { _tag: "WebSocketError" })
      const status = { code: 4_321, reason: "enough" }
      assert.deepInclude(yield* one.connection.closed, { by: "local", sent: status, received: status })
      assert.deepInclude(yield* other.connection.closed, { by: "remote", received: status })
    })
  )

  it.live("is closed in order with its scope, and cut when the other end does not answer", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { port1, port2 } = new MessageChannel()
      const one = yield* Scope.provide(over(port1), scope)
      port2.postMessage({ _tag: "Opened", life: undefined })
      yield* one.opened
      yield* Scope.close(scope, Exit.void)
      const sent = { code: 1000, reason: "" }
      assert.deepInclude(yield* one.connection.closed, { by: "local", sent, received: undefined })
    })
  )

  it.live("goes in the very turn, with a word to the other end, and hears no answer", () =>
    Effect.gen(function* () {
      const { one, other } = yield* pair()
      yield* eventually(() => one.link.isOpen)
      one.link.leave()
      one.link.leave()
      assert.isFalse(one.link.isOpen)
      assert.deepInclude(yield* one.connection.closed, { by: "network", received: undefined })
      assert.deepInclude(yield* other.connection.closed, { by: "remote", received: { code: 1001, reason: "" } })
    })
  )

  it.live("has failed when the other end has died, after what it had said", () =>
    Effect.gen(function* () {
      const { one, other } = yield* pair()
      yield* other.connection.send("last")
      yield* eventually(() => one.link.isOpen)
      yield* settled
      one.link.died()
      assert.deepStrictEqual(plain(yield* one.connection.pull), ["last"])
      const error = yield* Effect.flip(one.connection.receive)
      assert.deepInclude(error, { _tag: "WebSocketError" })
      assert.deepInclude(yield* one.connection.closed, { by: "network", received: undefined })
    })
  )

  it.live("hears what is said beside the messages, in order with them, and passes over what is nothing it knows", () =>
    Effect.gen(function* () {
      const heard: Array<unknown> = []
      const { one, other, ports } = yield* pair({ onAside: (said) => heard.push(said) })
      other.link.aside({ open: false })
      yield* other.connection.send("behind it")
      for (const nonsense of [null, 1, {}, { _tag: "Shout" }, ["Close"], new ArrayBuffer(1), ...forged]) {
        ports[1].postMessage(nonsense)
      }
      other.link.aside("again")
      assert.deepStrictEqual(plain(yield* one.connection.pull), ["behind it"])
      yield* eventually(() => heard.length === 2)
      assert.deepStrictEqual(heard, [{ open: false }, "again"])
      assert.isTrue(one.link.isOpen)
      assert.strictEqual(one.link.buffered, 0)
    })
  )
})
