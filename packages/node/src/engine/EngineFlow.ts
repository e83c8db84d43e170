/**
 * Messages between two nodes, both ways and in order, each once, for as long as both are there: a request or a WebSocket
 * that has come to one node, for a session of the other.
 *
 * What waits goes as one part after the other, each asked until it is acknowledged. A part has a number, so one that
 * comes twice is taken once. Who has no room says so, and is asked again. A flow is over when either end says how it has
 * ended, or is lost: when the other node is gone, knows nothing of it, or has not answered for 15 s.
 */
import type { Json } from "@millrace/core/cluster/Questions"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** How a flow has ended: a status of HTTP with a body, or a code of a WebSocket with its reason. */
export interface End {
  readonly code: number
  readonly text: string
}

/** Who takes what comes. Nothing of it may throw. */
export interface Taker {
  readonly message: (data: string | Uint8Array) => void
  /** Waits until there is room for more. */
  readonly room: Effect.Effect<void>
  /** Once, whoever has ended it. What was sent and not acknowledged may not have come where it is lost, or ended by them. */
  readonly ended: (by: "lost" | "them" | "us", end: End | undefined) => void
  /** Something of what was sent has come. */
  readonly drained?: (() => void) | undefined
}

/** What is said of a part. `gone`: there is no such flow. */
export type Ack = "gone" | "ok" | "wait"

/** How a flow reaches the other node. */
export interface Line {
  /** Asks once. `undefined`: no answer, or a node that is too busy. `gone` where the node is. */
  readonly ask: (node: string, part: Json) => Effect.Effect<Ack | undefined>
  readonly run: (effect: Effect.Effect<void>) => void
  /** It is over; so many parts were taken. */
  readonly over: (flow: Flow, taken: number) => void
  /** Longest message that is put together, in UTF-16 units or bytes. */
  readonly maxLength: number
}

/** A message, or a piece of one: whether it is bytes, in base64, and whether it is the last. */
type Item = readonly [isBytes: 0 | 1, isLast: 0 | 1, text: string]

/** Of a message, in UTF-16 units and bytes: in JSON and with what is beside it that is less than any broker takes. */
const pieceUnits = 32_768
const pieceBytes = 131_072

/** Most of a part, as it may be in JSON at the longest. */
const partBytes = 200_000

/** How long nothing is heard until a flow is lost, how long somebody is let wait for room, and how long it then waits. */
const patience = 15_000
const hold = 500
const again = 50
const longestPause = 1_000

const costOf = ([isBytes, , text]: Item): number => 16 + (isBytes === 1 ? text.length : text.length * 6)

export class Flow {
  readonly id: string
  readonly node: string
  /** How much waits to be acknowledged, in UTF-16 units and characters of base64. */
  buffered = 0
  private readonly line: Line
  private taker: Taker | undefined
  private readonly items: Array<Item> = []
  private opening: Json | undefined
  private ending: End | undefined
  private part: { readonly json: Json; readonly count: number; readonly isLast: boolean } | undefined
  private sent = 0
  private pumping = false
  private taken = 0
  private taking = false
  private pieces: Array<string | Uint8Array> = []
  private piecesLength = 0
  private over = false

  /** `opening` goes with the first part: what the flow is about. */
  constructor(line: Line, id: string, node: string, opening?: Json) {
    this.line = line
    this.id = id
    this.node = node
    this.opening = opening
  }

  get isOver(): boolean {
    return this.over
  }

  /** Begins: `taker` is told of what comes from now on. */
  start(taker: Taker): void {
    this.taker = taker
    if (this.opening !== undefined) this.stir()
  }

  /** Sends it behind what was sent before. */
  send(data: string | Uint8Array): void {
    if (this.over || this.ending !== undefined) return
    const isBytes = typeof data !== "string"
    const most = isBytes ? pieceBytes : pieceUnits
    for (let at = 0; at === 0 || at < data.length; at += most) {
      const isLast = at + most >= data.length ? 1 : 0
      const text = isBytes
        ? Buffer.from(data.buffer, data.byteOffset + at, Math.min(most, data.length - at)).toString("base64")
        : data.slice(at, at + most)
      this.items.push([isBytes ? 1 : 0, isLast, text])
      this.buffered += text.length
    }
    this.stir()
  }

  /** Ends it behind what was sent. */
  finish(code: number, text: string): void {
    if (this.over || this.ending !== undefined) return
    this.ending = { code, text }
    this.stir()
  }

  /** Gives it up: what was not acknowledged may not have come. */
  lose(): void {
    this.close("lost", undefined)
  }

  // What goes.

  private stir(): void {
    if (this.pumping || this.over) return
    this.pumping = true
    this.line.run(this.pump)
  }

  private next(): NonNullable<Flow["part"]> | undefined {
    const items: Array<Item> = []
    let cost = 0
    for (const item of this.items) {
      cost += costOf(item)
      if (items.length > 0 && cost > partBytes) break
      items.push(item)
    }
    const isLast = this.ending !== undefined && items.length === this.items.length
    if (items.length === 0 && !isLast && this.opening === undefined) return undefined
    const end = isLast ? [this.ending!.code, this.ending!.text] : null
    return {
      json: [this.id, this.sent, this.opening ?? null, items, end],
      count: items.length,
      isLast
    }
  }

  private readonly pump: Effect.Effect<void> = Effect.suspend(() => {
    this.part ??= this.over ? undefined : this.next()
    if (this.part === undefined) {
      this.pumping = false
      return Effect.void
    }
    return Effect.flatMap(this.put(this.part.json), (ack) => {
      if (this.over) return Effect.void
      if (ack !== "ok") {
        this.lose()
        return Effect.void
      }
      const { count, isLast } = this.part!
      this.part = undefined
      this.opening = undefined
      this.sent++
      for (const [, , text] of this.items.splice(0, count)) this.buffered -= text.length
      if (isLast) {
        this.close("us", this.ending)
        return Effect.void
      }
      this.taker?.drained?.()
      return this.pump
    })
  })

  /** Asks until it is taken, or nobody is there. */
  private put(json: Json): Effect.Effect<Ack | undefined> {
    return Effect.flatMap(Clock.currentTimeMillis, (began) => {
      let deadline = began + patience
      let failures = 0
      const once: Effect.Effect<Ack | undefined> = Effect.flatMap(this.line.ask(this.node, json), (ack) => {
        if (ack === "ok" || ack === "gone" || this.over) return Effect.succeed(ack)
        return Effect.flatMap(Clock.currentTimeMillis, (now) => {
          failures = ack === "wait" ? 0 : failures + 1
          if (ack === "wait") deadline = now + patience
          if (now > deadline) return Effect.succeed(undefined)
          return Effect.delay(once, Math.min(longestPause, again * 2 ** failures))
        })
      })
      return once
    })
  }

  // What comes.

  /** Takes a part, or says that there is no room. */
  receive(number: number, items: ReadonlyArray<unknown>, end: unknown): Effect.Effect<Ack> {
    return Effect.suspend((): Effect.Effect<Ack> => {
      const { taker } = this
      if (number < this.taken) return Effect.succeed("ok")
      if (number > this.taken || this.taking || taker === undefined) return Effect.succeed("wait")
      this.taking = true
      return taker.room.pipe(
        Effect.timeoutOption(hold),
        Effect.map((room): Ack => {
          if (room._tag === "None") return "wait"
          if (this.over) return "gone"
          this.taken++
          for (const item of items) this.take(item)
          if (isEnd(end)) this.close("them", { code: end[0], text: end[1] })
          return "ok"
        }),
        Effect.ensuring(Effect.sync(() => void (this.taking = false)))
      )
    })
  }

  private take(item: unknown): void {
    const [isBytes, isLast, text] = Array.isArray(item) ? item : []
    if (this.over || typeof text !== "string") return
    const data = isBytes === 1 ? new Uint8Array(Buffer.from(text, "base64")) : text
    this.piecesLength += data.length
    if (this.piecesLength > this.line.maxLength) return this.lose()
    if (isLast === 1 && this.pieces.length === 0) {
      this.piecesLength = 0
      return this.taker!.message(data)
    }
    this.pieces.push(data)
    if (isLast !== 1) return
    const { pieces } = this
    this.pieces = []
    this.piecesLength = 0
    this.taker!.message(
      typeof data === "string" ? pieces.join("") : new Uint8Array(Buffer.concat(pieces as ReadonlyArray<Uint8Array>))
    )
  }

  private close(by: "lost" | "them" | "us", end: End | undefined): void {
    if (this.over) return
    this.over = true
    this.items.length = 0
    this.buffered = 0
    this.pieces = []
    this.line.over(this, this.taken)
    this.taker?.ended(by, end)
  }
}

const isEnd = (end: unknown): end is readonly [number, string] =>
  Array.isArray(end) && typeof end[0] === "number" && typeof end[1] === "string"
