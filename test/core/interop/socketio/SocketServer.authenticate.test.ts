/** Who a client of Socket.IO is, by what it says of itself. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Socket from "@millrace/core/interop/socketio/Socket"
import type * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import { turn } from "../../../support/connection.ts"
import { back, serve } from "../../../support/socketServer.ts"

/** A token is the name of its user; `hangs` is never known, and `breaks` is a defect. */
const authenticate = ({ auth }: SocketServer.Applicant<undefined>) => {
  const token = auth["token"]
  if (token === "breaks") return Effect.die(new Error("on purpose"))
  if (token === "hangs") return Effect.never
  if (typeof token === "string") return Effect.succeed({ user: token, request: undefined })
  return Socket.refuse("who are you?", { code: 7 })
}

describe("authenticate", () => {
  it.effect("says whose a socket is, in each namespace, in place of who opened the session", () =>
    Effect.gen(function* () {
      const asked: Array<unknown> = []
      const { connect, sockets } = yield* serve({
        authenticate: (applicant) =>
          Effect.andThen(
            Effect.sync(() => void asked.push(applicant)),
            authenticate(applicant)
          )
      })
      const one = yield* connect("opener")
      yield* one.say('0{"token":"ada"}', '0/admin?a=1,{"token":"root"}')
      assert.deepStrictEqual(
        sockets.map(({ namespace, user }) => [namespace, user]),
        [
          ["/", "ada"],
          ["/admin", "root"]
        ]
      )
      assert.deepStrictEqual(asked, [
        { auth: { token: "ada" }, namespace: "/", query: undefined, user: "opener", request: undefined },
        { auth: { token: "root" }, namespace: "/admin", query: "a=1", user: "opener", request: undefined }
      ])
    })
  )

  it.effect("refuses with what it says, or without where it breaks, before the program hears of the client", () =>
    Effect.gen(function* () {
      const { connect, sockets } = yield* serve({ authenticate })
      const one = yield* connect()
      yield* one.say("0", '0/admin,{"token":"breaks"}')
      assert.deepStrictEqual(one.took(), [
        '4{"message":"who are you?","data":{"code":7}}',
        '4/admin,{"message":"Internal server error"}'
      ])
      assert.deepStrictEqual([sockets.length, one.isOver()], [0, false])
      yield* one.say('0{"token":"ada"}')
      assert.deepStrictEqual(
        sockets.map(({ user }) => user),
        ["ada"]
      )
    })
  )

  it.effect("is not waited for by who leaves, or is cut, or has waited for 45 seconds", () =>
    Effect.gen(function* () {
      const interrupted: Array<unknown> = []
      const { connect, sockets } = yield* serve({
        authenticate: ({ auth }) =>
          Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted.push(auth["token"])))
      })
      const leaves = yield* connect()
      const isCut = yield* connect()
      const waits = yield* connect()
      yield* leaves.say('0{"token":"leaves"}')
      yield* isCut.say('0{"token":"cut"}')
      yield* waits.say('0{"token":"waits"}')
      assert.deepStrictEqual(interrupted, [])
      yield* leaves.say("1")
      isCut.cut()
      yield* turn
      assert.deepStrictEqual(interrupted, ["leaves", "cut"])
      yield* TestClock.adjust("44 seconds")
      yield* waits.client.send("3")
      yield* turn
      assert.deepStrictEqual([interrupted.length, waits.isOver()], [2, false])
      yield* TestClock.adjust("3 seconds")
      yield* turn
      assert.deepStrictEqual([interrupted, waits.isOver(), sockets.length], [["leaves", "cut", "waits"], true, 0])
    })
  )

  it.effect("lets in nobody whose attempt is over when it is known", () =>
    Effect.gen(function* () {
      const known = yield* Deferred.make<void>()
      const { connect, sockets } = yield* serve({
        authenticate: () =>
          Effect.as(Effect.uninterruptible(Deferred.await(known)), { user: "ada", request: undefined })
      })
      const one = yield* connect()
      yield* one.say("0")
      yield* one.say("1")
      yield* Deferred.succeed(known, undefined)
      yield* turn
      assert.deepStrictEqual([sockets, one.took()], [[], []])
    })
  )

  it.effect("gives a socket back to the user whose it was, and to nobody else who knows its secret", () =>
    Effect.gen(function* () {
      const { connect, join, sockets } = yield* serve({ authenticate, recovery: true })
      const ada = yield* join({ token: "ada" })
      ada.cut()
      yield* turn
      const eve = yield* connect()
      yield* eve.say(back(ada).replace("{", '{"token":"eve",'))
      assert.strictEqual(sockets.length, 2)
      assert.notStrictEqual(sockets[1]!.id, sockets[0]!.id)
      const again = yield* connect()
      yield* again.say(back(ada).replace("{", '{"token":"ada",'))
      assert.deepStrictEqual(
        [again.took(), sockets.length],
        [[`0${JSON.stringify({ sid: ada.sid, pid: ada.pid })}`], 2]
      )
    })
  )
})
