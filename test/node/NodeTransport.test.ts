import * as net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Transport } from "@millrace/core/connection/Transport"
import * as NodeTransport from "@millrace/node/NodeTransport"
import { eventually, settled } from "../support/eventually.ts"
import { over, type RawPeer } from "../support/RawPeer.ts"
import { Told } from "../support/Told.ts"

const defaults: NodeTransport.Settings = { closeTimeout: 1_000, outboxBytes: 1_048_576 }

interface Pair {
  readonly near: net.Socket
  readonly far: RawPeer
}

/** Two ends of a TCP connection. As with `node:http`, the near one stays open when the far one has ended. */
const pair = Effect.gen(function* () {
  let near: net.Socket | undefined
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    near = socket
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        near?.destroy()
        server.close(() => resume(Effect.void))
      })
  )
  const { port } = server.address() as net.AddressInfo
  const far = yield* over(net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }))
  yield* eventually(() => near !== undefined)
  return { near: near!, far } as Pair
})

const opened = ({ near }: Pair, head = "", settings = defaults): { transport: Transport; told: Told } => {
  const transport = NodeTransport.make(near, Buffer.from(head), settings)
  const told = new Told()
  transport.open(told)
  return { transport, told }
}

describe("NodeTransport", () => {
  it.live("gives what was read before it, then what comes, and nothing before it is opened", () =>
    Effect.gen(function* () {
      const { far, near } = yield* pair
      const transport = NodeTransport.make(near, Buffer.from("head "), defaults)
      far.send("and more")
      yield* settled
      const told = new Told()
      transport.open(told)
      expect(told.text).toBe("")
      yield* eventually(() => told.text === "head and more")
      expect(told.ends).toEqual([])
    })
  )

  it.live("stops and goes on", () =>
    Effect.gen(function* () {
      const ends = yield* pair
      const { told, transport } = opened(ends)
      transport.pause()
      ends.far.send("later")
      yield* settled
      expect(told.text).toBe("")
      transport.resume()
      yield* eventually(() => told.text === "later")
    })
  )

  it.live("writes several chunks as one, in order", () =>
    Effect.gen(function* () {
      const ends = yield* pair
      const { transport } = opened(ends)
      transport.writeAll(["one ", "two ", "three"].map((text) => Buffer.from(text)))
      transport.end()
      transport.end()
      expect((yield* ends.far.rest).toString()).toBe("one two three")
    })
  )

  it.live("says when a small outbox has emptied, of which Node.js would say nothing", () =>
    Effect.gen(function* () {
      const ends = yield* pair
      ends.far.socket.pause()
      const { told, transport } = opened(ends, "", { ...defaults, outboxBytes: 100 })
      const chunk = Buffer.alloc(1_000, "x")
      let written = 0
      for (; transport.writableLength === 0; written++) transport.write(chunk)
      expect(ends.near.writableNeedDrain).toBe(false)
      yield* settled
      expect(told.drains).toBe(0)
      ends.far.socket.resume()
      yield* eventually(() => told.drains > 0)
      expect(transport.writableLength).toBe(0)
      transport.end()
      expect((yield* ends.far.rest).length).toBe(written * chunk.length)
    })
  )

  it.live("is drained only when a reader has come, and drops nothing until then", () =>
    Effect.gen(function* () {
      const ends = yield* pair
      ends.far.socket.pause()
      const { told, transport } = opened(ends)
      const chunk = Buffer.alloc(65_536, "x")
      let written = 0
      while (transport.writableLength === 0) {
        transport.write(chunk)
        written += chunk.length
      }
      const before = told.drains
      yield* settled
      expect(told.drains).toBe(before)
      expect(transport.writableLength).toBeGreaterThan(0)
      ends.far.socket.resume()
      yield* eventually(() => told.drains > before)
      expect(transport.writableLength).toBe(0)
      transport.end()
      expect((yield* ends.far.rest).length).toBe(written)
    })
  )

  it.live("ends with the peer, once", () =>
    Effect.gen(function* () {
      const ends = yield* pair
      const { told, transport } = opened(ends)
      ends.far.socket.end("bye")
      yield* eventually(() => told.ends.length > 0)
      expect(told.text).toBe("bye")
      expect(ends.near.destroyed).toBe(true)
      transport.write(Buffer.from("too late"))
      transport.end()
      transport.destroy()
      yield* settled
      expect(told.ends).toEqual([undefined])
    })
  )

  it.live("notices a peer that ended before it was opened", () =>
    Effect.gen(function* () {
      const { far, near } = yield* pair
      const transport = NodeTransport.make(near, Buffer.alloc(0), defaults)
      const closed = NodeTransport.closed(near)
      far.socket.end()
      yield* closed
      const told = new Told()
      transport.open(told)
      expect(told.ends).toEqual([undefined])
      yield* NodeTransport.closed(near)
    })
  )

  it.live("says which failure of the network ended it, also when that came first", () =>
    Effect.gen(function* () {
      const ends = yield* pair
      const { told } = opened(ends)
      ends.far.reset()
      yield* eventually(() => told.ends.length > 0)
      expect(told.ends[0]?._tag).toBe("TransportError")
      expect(told.ends[0]?.message).toMatch(/ECONNRESET/)

      const { far, near } = yield* pair
      const transport = NodeTransport.make(near, Buffer.alloc(0), defaults)
      far.reset()
      yield* NodeTransport.closed(near)
      const late = new Told()
      transport.open(late)
      expect(late.ends[0]?._tag).toBe("TransportError")
    })
  )

  it.live("cuts a peer that has ended and does not read what is left for it", () =>
    Effect.gen(function* () {
      const ends = yield* pair
      ends.far.socket.pause()
      const { told, transport } = opened(ends, "", { ...defaults, closeTimeout: 50 })
      const chunk = Buffer.alloc(1_048_576)
      while (transport.writableLength === 0) transport.write(chunk)
      ends.far.socket.end()
      yield* eventually(() => told.ends.length > 0)
      expect(ends.near.destroyed).toBe(true)
    })
  )

  it.live("leaves its socket with the same listeners however often it writes", () =>
    Effect.gen(function* () {
      const ends = yield* pair
      const { transport } = opened(ends)
      const listeners = () => ends.near.eventNames().map((name) => [name, ends.near.listenerCount(name)] as const)
      const before = listeners()
      for (let i = 0; i < 100; i++) transport.write(Buffer.from("x"))
      yield* settled
      expect(listeners()).toEqual(before)
    })
  )
})
