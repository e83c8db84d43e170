/** The frames of a connection, for whose it is: who may look, what they see, and what it costs. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as FrameJson from "@millrace/node/frames/FrameJson"
import * as FrameViews from "@millrace/node/hub/FrameViews"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { type Answer, ask } from "../support/eventStreamServer.ts"
import { eventually } from "../support/eventually.ts"
import * as HubClient from "../support/hubClient.ts"
import * as RawPeer from "../support/RawPeer.ts"

/** A client that asks for its frames, and with what it may look at them. */
const connect = (
  port: number,
  name = "ada",
  fields: Readonly<Record<string, string>> = {}
): Effect.Effect<HubClient.HubClient & { readonly token: string | undefined }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const client = HubClient.over(yield* RawPeer.open(port, `/ws?frames=1&name=${name}`, fields))
    const { frames } = yield* client.hear
    return { ...client, token: frames as string | undefined }
  })

const look = (port: number, token: string | undefined, headers: Readonly<Record<string, string>> = {}) =>
  ask("node:http", port, { path: `/frames?connection=${token}`, headers })

type Told = FrameJson.Line | { readonly type: "lost"; readonly count: number }

/** What it has been told so far. */
const told = ({ text }: Answer): ReadonlyArray<Told> =>
  text()
    .split("\n")
    .slice(0, -1)
    .filter((line) => line.startsWith("data: "))
    .map((line) => JSON.parse(line.slice(6)) as Told)

const says = ({ text }: Answer, some: string) => eventually(() => text().includes(some))

const framesOf = (answer: Answer) => told(answer).filter((one) => one.type === "frame")

const show = (answer: Answer) =>
  framesOf(answer).map(({ code, from, hex, op, text }) => `${from} ${op} ${text ?? hex ?? code ?? ""}`)

describe("who looks at its own connection", () => {
  it.live("is told what was agreed on, all frames so far, then each as it goes over the wire, and the end", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve({ history: { epoch: "e" } })
      const ada = yield* connect(port)
      ada.say({ type: "ping", id: 1 })
      yield* ada.hear
      const answer = yield* look(port, ada.token)
      assert.deepStrictEqual([answer.status, answer.header("content-type")], [200, "text/event-stream"])
      yield* eventually(() => framesOf(answer).length === 3)
      ada.peer.sendFrame(2, Uint8Array.of(1, 2))
      yield* ada.hear
      ada.peer.sendFrame(9, "there?")
      assert.strictEqual((yield* ada.peer.frame).opcode, 10)
      ada.peer.sendFrame(8, Uint8Array.of(0x0f, 0xa0, 0x61))
      yield* eventually(answer.ended)
      const [opened, ...rest] = told(answer)
      assert.include(opened, { type: "opened" })
      const [welcome, ping, pong, binary, refused, pinged, ponged, close, closed] = show(answer)
      assert.match(welcome!, new RegExp(`^server text {"type":"welcome","client":"ada",.*"frames":"${ada.token}"}$`))
      assert.deepStrictEqual(
        [ping, pong, binary, pinged, ponged, close, closed],
        [
          'client text {"type":"ping","id":1}',
          'server text {"type":"pong","id":1}',
          "client binary 0102",
          "client ping there?",
          "server pong there?",
          "client close 4000",
          "server close 4000"
        ]
      )
      assert.match(refused!, /^server text {"type":"error","code":"binary"/)
      assert.deepStrictEqual(
        rest.slice(9).map((one) => ("from" in one ? `${one.type} ${one.from}` : one.type)),
        ["ended server", "ended client", "end"]
      )
      const times = framesOf(answer).map(({ t }) => t)
      assert.deepStrictEqual(
        times,
        times.toSorted((a, b) => a - b)
      )
    })
  )

  it.live("sees both sizes of what was compressed, and what it says", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve({ extensions: [NodeDeflate.compression({ threshold: 0 })] })
      const connection = yield* NodeWebSocket.open(`ws://127.0.0.1:${port}/ws?frames=1`, {
        extensions: [NodeDeflate.compression({ threshold: 0 })]
      })
      const welcome = yield* connection.receive
      assert.strictEqual(welcome._tag, "Text")
      const { frames } = JSON.parse(welcome._tag === "Text" ? welcome.text : "")
      // What comes later refers to what came before anybody looked.
      const said = JSON.stringify({ type: "publish", topic: "t", data: "over and over ".repeat(100) })
      for (let i = 0; i < 3; i++) yield* connection.send(said)
      const answer = yield* look(port, frames)
      yield* connection.send(said)
      yield* eventually(() => framesOf(answer).length === 5)
      const [opened] = told(answer)
      assert.match(opened?.type === "opened" ? (opened.extensions ?? "") : "", /^permessage-deflate/)
      for (const frame of framesOf(answer).slice(1)) {
        assert.include(frame, { rsv: 4, compressed: true, masked: true, inflated: said.length, text: said })
        assert.isBelow(frame.length, said.length / 5)
      }
    })
  )

  it.live("sees nothing of any other, nor does anybody see what is its", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve()
      const [ada, bob] = [yield* connect(port), yield* connect(port, "bob")]
      assert.notStrictEqual(ada.token, bob.token)
      const [adas, bobs] = [yield* look(port, ada.token), yield* look(port, bob.token)]
      for (let i = 0; i < 50; i++) {
        ada.say({ type: "ping", id: `ada's ${i}` })
        bob.say({ type: "ping", id: `bob's ${i}` })
      }
      yield* eventually(() => framesOf(adas).length === 101 && framesOf(bobs).length === 101)
      assert.notInclude(adas.text(), "bob")
      assert.notInclude(bobs.text(), "ada")
      for (const wrong of ["", "ada", `${ada.token}x`, ada.token!.slice(1), "__proto__", "undefined", "%00"]) {
        const refused = yield* look(port, wrong)
        assert.deepStrictEqual([wrong, refused.status], [wrong, 404])
        yield* says(refused, '"code":"not-found"')
      }
      assert.strictEqual((yield* ask("node:http", port, { path: "/frames" })).status, 400)
      assert.strictEqual((yield* ask("node:http", port, { path: "/frames", method: "POST" })).status, 405)
      const foreign = yield* look(port, ada.token, { origin: "https://evil.example" })
      assert.deepStrictEqual([foreign.status, foreign.header("access-control-allow-origin")], [403, undefined])
    })
  )

  it.live("is of the same user, where users are known", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve({
        identify: ({ header, purpose }) => {
          const user = header("Cookie")
          if (user === undefined) return NodeWebSocketServer.refuse(401, { body: "log in first" })
          return Effect.succeed({ user, name: `${user} by ${purpose}` })
        }
      })
      const ada = yield* connect(port, "x", { Cookie: "ada" })
      const statuses = []
      for (const headers of [{ cookie: "ada" }, { cookie: "bob" }, {} as { cookie: string }]) {
        statuses.push((yield* look(port, ada.token, headers)).status)
      }
      assert.deepStrictEqual(statuses, [200, 404, 401])
    })
  )
})

describe("the frames of a connection", () => {
  it.live("are told to no one who has not asked in the handshake, and to nobody where the operator says so", () =>
    Effect.gen(function* () {
      const open = yield* HubServer.serve()
      for (const path of ["/ws", "/ws?frames", "/ws?frames=0", "/ws?frames=true"]) {
        assert.notProperty(yield* HubClient.over(yield* RawPeer.open(open.port, path)).hear, "frames")
      }
      const closed = yield* HubServer.serve({ frames: false })
      assert.strictEqual((yield* connect(closed.port)).token, undefined)
      assert.strictEqual((yield* ask("node:http", closed.port, { path: "/frames?connection=x" })).status, 404)
    })
  )

  it.live("are kept for so many connections, which make room at their end; the others are served without", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve({ frames: { maxConnections: 2 } })
      const [first, second, third] = [yield* connect(port), yield* connect(port), yield* connect(port)]
      assert.deepStrictEqual([typeof first.token, typeof second.token, third.token], ["string", "string", undefined])
      third.say({ type: "ping", id: 1 })
      assert.include(yield* third.hear, { type: "pong" })
      first.peer.reset()
      let status = 200
      while (status === 200) status = (yield* look(port, first.token)).status
      assert.strictEqual(status, 404)
      assert.isString((yield* connect(port)).token)
    })
  )

  it.live("are let go when nobody looks, and the connection goes on", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve({ frames: { maxConnections: 1, patience: "20 millis" } })
      const ada = yield* connect(port)
      let next: string | undefined
      while (next === undefined) next = (yield* connect(port)).token
      assert.strictEqual((yield* look(port, ada.token)).status, 404)
      ada.say({ type: "ping", id: 1 })
      assert.include(yield* ada.hear, { type: "pong", id: 1 })
      ada.say({ type: "ping", id: 2 })
      assert.include(yield* ada.hear, { type: "pong", id: 2 })
    })
  )

  it.live("are not let go while somebody looks, but when the last has gone", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve({ frames: { maxConnections: 2, patience: "400 millis" } })
      const [ada, bob] = [yield* connect(port), yield* connect(port, "bob")]
      const [one, other] = [yield* look(port, ada.token), yield* look(port, ada.token)]
      one.leave()
      // Who gets the room of bob, at whom nobody looks.
      let cy: string | undefined
      while (cy === undefined) cy = (yield* connect(port, "cy")).token
      yield* look(port, cy)
      assert.strictEqual((yield* look(port, bob.token)).status, 404)
      assert.isFalse(other.ended())
      ada.say({ type: "ping", id: "still" })
      yield* says(other, "still")
      other.leave()
      let next: string | undefined
      while (next === undefined) next = (yield* connect(port)).token
      assert.strictEqual((yield* look(port, ada.token)).status, 404)
    })
  )

  it.live("are told to so many at a time", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve()
      const ada = yield* connect(port)
      const statuses = []
      for (let i = 0; i <= FrameViews.maxLookers; i++) statuses.push((yield* look(port, ada.token)).status)
      assert.deepStrictEqual(statuses, [200, 200, 200, 200, 503])
    })
  )

  it.live("are kept up to a bound for who comes later, and how many there are not is told in front", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve()
      const ada = yield* connect(port)
      const count = FrameViews.maxKept.lines
      for (let i = 0; i < count; i++) ada.say({ type: "ping", id: i })
      for (let i = 0; i < count; i++) yield* ada.hear
      const answer = yield* look(port, ada.token)
      yield* eventually(() => framesOf(answer).length === count)
      const [opened, lost, ...frames] = told(answer)
      assert.deepStrictEqual([opened?.type, lost], ["opened", { type: "lost", count: count + 1 }])
      assert.strictEqual(frames.length, count)
      assert.include(show(answer).at(-1), `"id":${count - 1}}`)
      // Long ones: bounded by what they take, not by how many they are.
      const data = "x".repeat(2_000)
      for (let i = 0; i < count; i++) ada.say({ type: "publish", topic: "t", data })
      ada.say({ type: "ping", id: "end" })
      yield* ada.hear
      const later = yield* look(port, ada.token)
      yield* says(later, '"id\\":\\"end\\"')
      assert.isAtMost(later.text().length, FrameViews.maxKept.characters + 10_000)
      assert.isBelow(framesOf(later).length, count / 1.5)
    })
  )
})

it.live("who does not read loses frames and is told how many; the connection goes on meanwhile", () =>
  Effect.gen(function* () {
    const { port } = yield* HubServer.serve({ limits: { outboxBytes: 65_536 } })
    const ada = yield* connect(port)
    const answer = yield* look(port, ada.token)
    yield* eventually(() => framesOf(answer).length === 1)
    const count = 8_000
    for (let i = 0; i < count; i++) ada.say(`{"type":"publish","topic":"t","data":"${"x".repeat(1_900)}"}`)
    ada.say({ type: "ping", id: 1 })
    assert.include(yield* ada.hear, { type: "pong" })
    // It is told as soon as it reads, and not only with the next frame.
    yield* says(answer, '"type":"lost"')
    ada.peer.sendFrame(8, "")
    yield* eventually(answer.ended)
    const lost = told(answer).reduce((sum, one) => sum + (one.type === "lost" ? one.count : 0), 0)
    assert.isAbove(lost, 0)
    // The welcome, the ping and its pong, the two Closes, the two ends and the end of all.
    const others = told(answer).filter(({ type }) => type !== "lost" && type !== "opened").length
    assert.strictEqual(others + lost, count + 8)
    assert.strictEqual(told(answer).at(-1)?.type, "end")
  })
)
