/**
 * The frames of a connection, for whoever has it: `GET /frames?connection=`, with what `welcome` has told the connection
 * and nobody else. docs/protocol.md, "Frames".
 *
 * A connection asks for it in its handshake. Those that do not have nothing beneath them; one that has is looked at as
 * long as somebody looks, and is let go when nobody does for a while: from then on it costs a comparison for each write.
 * Nothing here waits for who looks, nor lets a connection wait.
 */
import { randomBytes } from "node:crypto"
import * as EventStreamBody from "@millrace/core/connection/EventStreamBody"
import * as Recorder from "@millrace/core/connection/Recorder"
import type { Tap } from "@millrace/core/connection/Tap"
import type * as Recording from "@millrace/core/protocol/Recording"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { EventStreamResponse } from "../EventStreamResponse.ts"
import { FrameJson } from "../frames/FrameJson.ts"

/** How many may be looked at, and for how long nobody may look. */
export interface Options {
  /** Connections at a time. One that asks beyond that is served as one that did not. Default 16. */
  readonly maxConnections?: number | undefined
  /** How long it is kept for one that nobody looks at, from its start and between two that do. Default 10 s. */
  readonly patience?: Duration.Input | undefined
}

/** `Options` unless they say otherwise. */
export const defaults = { maxConnections: 16, patience: "10 seconds" } as const satisfies Options

/** How many may look at one connection at a time. */
export const maxLookers = 4

/** What is kept for who comes later: so many objects, and so many characters of them. */
export const maxKept = { lines: 256, characters: 262_144 } as const

/**
 * Of a payload, in bytes. What is not compressed is shown from its start. A longer one that is compressed is not inflated,
 * nor are those behind it that refer to it.
 */
const kept = { plain: 4_096, compressed: 262_144 } as const

/** What is inflated of a message at most: it is done in the turn in which the message comes. */
export const maxInflatedBytes = 1_048_576

const event = (value: object): string => EventStreamBody.print([{ data: JSON.stringify(value) }]).text

const lostEvent = (count: number): string => event({ type: "lost", count })

/** Who looks, and what it did not get because it reads too slowly. */
interface Looker {
  readonly response: EventStreamResponse
  lost: number
  /** What waits for room; what comes behind it is lost. `count` says of how many it is. */
  held: { readonly text: string; readonly count: number } | undefined
}

/** There is room for what waits, or it is lost, too. */
const catchUp = (looker: Looker): void => {
  const { held, lost, response } = looker
  if (held === undefined) return
  looker.held = undefined
  looker.lost = 0
  const all = lost === 0 ? held.text : `${held.text}${lostEvent(lost)}`
  if (response.trySayUnsafe(all) === "Full") looker.lost = held.count + lost
}

/** What ends a recording: `Recorder.Sink`. */
const letGo = new Error("nobody looks at this connection")

/** The frames of one connection. */
export class FrameView {
  /** Not to be guessed: 128 random bits. Whoever knows it may look. `undefined` where there are enough without this one. */
  token: string | undefined
  /** Whom the connection belongs to. */
  readonly user: string | undefined
  private readonly views: FrameViews
  private readonly json: FrameJson
  private readonly lookers = new Set<Looker>()
  private opened = ""
  private lines: Array<string> = []
  private characters = 0
  /** How many came before those that are kept. */
  private dropped = 0
  private hasEnded = false
  private waiting: Fiber.Fiber<void> | undefined

  constructor(views: FrameViews, user: string | undefined) {
    this.views = views
    this.user = user
    this.json = new FrameJson(Math.min(views.maxMessageBytes, maxInflatedBytes))
  }

  /** To be put beneath the connection. */
  readonly tap: Tap = (transport, facts) => {
    this.token = this.views.add(this)
    if (this.token === undefined) return transport
    this.wait()
    const maxPayloadBytes = facts.extensions.rsv === 0 ? kept.plain : kept.compressed
    const limits = { maxPayloadBytes, maxEntries: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY }
    return Recorder.tapUnsafe(this.views.clock, transport, facts, limits, (line) => this.take(line))
  }

  /** Whether as many look as may. */
  get isCrowded(): boolean {
    return this.lookers.size >= maxLookers
  }

  /** Tells what was kept, then what comes, until the connection ends, or who looks has gone. */
  tell(response: EventStreamResponse): void {
    const looker: Looker = { response, lost: this.dropped, held: undefined }
    this.lookers.add(looker)
    this.stopWaiting()
    response.trySayUnsafe(this.opened)
    for (const line of this.lines) this.say(looker, line)
    response.whenClosed(() => {
      this.lookers.delete(looker)
      if (this.lookers.size === 0) this.wait()
    })
  }

  private take(entry: Recording.Header | Recording.Entry): void {
    if (this.hasEnded) throw letGo
    const line = this.json.line(entry)
    if (line === undefined) return
    const text = event(line)
    if (line.type === "opened") this.opened = text
    else this.keep(text)
    if (line.type === "end") return this.end(text)
    for (const looker of this.lookers) this.say(looker, text)
  }

  private keep(text: string): void {
    this.lines.push(text)
    this.characters += text.length
    while (this.lines.length > maxKept.lines || this.characters > maxKept.characters) {
      this.characters -= this.lines.shift()!.length
      this.dropped += 1
    }
  }

  /** Says it now, or when there is room; how many behind it were not said is told with it. */
  private say(looker: Looker, text: string): void {
    const { held, lost, response } = looker
    if (held !== undefined) {
      looker.lost += 1
      return
    }
    const all = lost === 0 ? text : `${lostEvent(lost)}${text}`
    looker.lost = 0
    if (response.trySayUnsafe(all) !== "Full") return
    looker.held = { text: all, count: lost + 1 }
    this.views.run(
      Effect.andThen(
        response.room,
        Effect.sync(() => catchUp(looker))
      )
    )
  }

  /** The connection is over, and so is what is said of it. */
  private end(text: string): void {
    const lookers = [...this.lookers]
    this.release()
    for (const looker of lookers) {
      const finish = Effect.sync(() => {
        catchUp(looker)
        looker.response.trySayUnsafe(text)
        looker.response.finish()
      })
      this.views.run(Effect.andThen(looker.response.room, finish))
    }
  }

  private wait(): void {
    if (this.hasEnded) return
    const patience = Effect.sleep(this.views.patience)
    const release = Effect.sync(() => {
      this.waiting = undefined
      this.release()
    })
    this.waiting = this.views.run(Effect.andThen(patience, release))
  }

  private stopWaiting(): void {
    const { waiting } = this
    this.waiting = undefined
    if (waiting !== undefined) this.views.run(Fiber.interrupt(waiting))
  }

  private release(): void {
    this.hasEnded = true
    this.stopWaiting()
    this.views.remove(this)
    this.lookers.clear()
    this.lines = []
  }
}

/** Those of a server; made by `make`. */
export class FrameViews {
  readonly clock: Clock.Clock
  readonly run: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
  readonly maxMessageBytes: number
  readonly patience: Duration.Input
  private readonly maxConnections: number
  private readonly views = new Map<string, FrameView>()

  constructor(
    clock: Clock.Clock,
    run: FrameViews["run"],
    maxMessageBytes: number,
    { maxConnections = defaults.maxConnections, patience = defaults.patience }: Options
  ) {
    this.clock = clock
    this.run = run
    this.maxMessageBytes = maxMessageBytes
    this.maxConnections = maxConnections
    this.patience = patience
  }

  /** For a connection that is about to be. It counts from when its tap is asked. */
  open(user: string | undefined): FrameView {
    return new FrameView(this, user)
  }

  /** That of a connection which is there, and belongs to that user. */
  find(token: string, user: string | undefined): FrameView | undefined {
    const view = this.views.get(token)
    return view?.user === user ? view : undefined
  }

  /** How many there are. */
  get size(): number {
    return this.views.size
  }

  /** Its token, where there is room. */
  add(view: FrameView): string | undefined {
    if (this.views.size >= this.maxConnections) return undefined
    const token = randomBytes(16).toString("base64url")
    this.views.set(token, view)
    return token
  }

  remove({ token }: FrameView): void {
    if (token !== undefined) this.views.delete(token)
  }
}

/** For one server, in whose context it does what takes time. */
export const make = (maxMessageBytes: number, options: Options = {}): Effect.Effect<FrameViews> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const context = yield* Effect.context<never>()
    return new FrameViews(clock, (effect) => Effect.runForkWith(context)(effect), maxMessageBytes, options)
  })
