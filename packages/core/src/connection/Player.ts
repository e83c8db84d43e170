/**
 * Plays one side of a recording to the other end, so that a bug report becomes a test, and records what came of it.
 *
 *     const log = yield* Effect.fromResult(RecordingText.parse(text))
 *     const played = yield* Player.play(log, connection)
 *     const difference = Player.compare(log, played)
 *
 * `play` says the messages over an open connection, `playBytes` the very frames over a bare transport, broken ones too,
 * and `playThrough` does that where a client or a server would have a connection.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as CloseCode from "../codec/CloseCode.ts"
import * as Extensions from "../codec/Extensions.ts"
import * as Frame from "../codec/Frame.ts"
import * as Mask from "../codec/Mask.ts"
import * as Transcript from "../protocol/Transcript.ts"
import * as Message from "../protocol/Message.ts"
import * as Recording from "../protocol/Recording.ts"
import type { Role } from "../protocol/WebSocketProtocol.ts"
import * as Extension from "./Extension.ts"
import * as Recorder from "./Recorder.ts"
import type { Facts, Tap } from "./Tap.ts"
import type { Receiver, Transport } from "./Transport.ts"
import type { WebSocket } from "./WebSocket.ts"

export { compare, type Difference, showDifference } from "../protocol/Transcript.ts"
export { Unplayable } from "../protocol/Recording.ts"

/**
 * When the next is said:
 *
 * - `answers`: as soon as the other end has said as much as it had by then in the recording. The same every time, with
 *   any clock.
 * - `recorded`: at the recorded time.
 * - `at once`: without waiting.
 */
export type Pace = "answers" | "recorded" | "at once"

/** How to play. Nothing of it is required. */
export interface Options {
  /** The side that is played. Default: the client's. */
  readonly as?: Role | undefined
  /** Default: `answers`. */
  readonly pace?: Pace | undefined
  /**
   * How long to wait for the next thing that the other end said in the recording, before it is taken for missing and
   * nothing more is played. Default 10 s.
   */
  readonly patience?: Duration.Input | undefined
  /** How much is kept of what is said on both sides. Default: as much as a `Recorder` keeps. */
  readonly limits?: Recorder.Options | undefined
}

/** Options for frames. */
export interface BytesOptions extends Options {
  /** A client's key for each frame. Default: always 0, as what is in a recording is no secret to what is in between. */
  readonly maskingKey?: (() => number) | undefined
}

const defaultPatience = Duration.seconds(10)

/** Messages and Closes are what the other end is waited for: when a Ping comes is a matter of time. */
const isAwaited = ({ _tag }: Transcript.Said): boolean => _tag === "Message" || _tag === "Close"

/** What the other end has said and whether it is there: counted, and waited for. */
class Heard {
  private readonly reader = new Transcript.Reader()
  private readonly from: Role
  private count = 0
  /** No more will come. */
  private isSilent = false
  isOver = false
  private check: (() => void) | undefined

  constructor(from: Role) {
    this.from = from
  }

  push(entry: Recording.Entry): void {
    const said = this.reader.push(entry)
    if (said !== undefined && said.from === this.from && isAwaited(said)) this.count += 1
    if (entry._tag === "End") this.isOver = this.isSilent = true
    if ((entry._tag === "Ended" && entry.from === this.from) || entry._tag === "Omitted") this.isSilent = true
    this.check?.()
  }

  /** Whether that much has been said; waits for it, and not for longer than that. */
  waitFor(count: number, patience: Duration.Input): Effect.Effect<boolean> {
    const isDone = () => this.count >= count || this.isSilent
    return Effect.map(this.wait(isDone, patience), () => this.count >= count)
  }

  /** Waits for the end, and not for longer than that. */
  waitForEnd(patience: Duration.Input): Effect.Effect<void> {
    return this.wait(() => this.isOver, patience)
  }

  private wait(isDone: () => boolean, patience: Duration.Input): Effect.Effect<void> {
    const done = Effect.callback<void>((resume) => {
      this.check = () => {
        if (isDone()) resume(Effect.void)
      }
      this.check()
      return Effect.sync(() => {
        this.check = undefined
      })
    })
    return Effect.suspend(() => (isDone() ? Effect.void : Effect.asVoid(Effect.timeoutOption(done, patience))))
  }
}

/** Something to be done, at its time. */
interface Step<out E = never> {
  readonly t: number
  /** How much the other end had said by then. */
  readonly heard: number
  /** Gives `false` when there is nobody left to do it to. */
  readonly run: Effect.Effect<boolean, E>
}

/** Does one step after the other, and gives whether it came to the last. */
const runSteps = <E>(
  steps: ReadonlyArray<Step<E>>,
  heard: Heard,
  { pace = "answers", patience = defaultPatience }: Options
): Effect.Effect<boolean, E> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const start = clock.currentTimeMillisUnsafe()
    for (const step of steps) {
      if (pace === "answers" && !(yield* heard.waitFor(step.heard, patience))) return false
      const wait = pace === "recorded" ? start + step.t - clock.currentTimeMillisUnsafe() : 0
      if (wait > 0) yield* Effect.sleep(wait)
      if (!(yield* step.run)) return false
    }
    return true
  })

/** How much a side says in all that one waits for. */
const awaited = (said: ReadonlyArray<Transcript.Said>, from: Role): number =>
  said.filter((one) => one.from === from && isAwaited(one)).length

/**
 * What was said, with how much the other end had said before. Two that say something at once may each have said it
 * first, so where they stand is where they were recorded.
 */
const withHeard = (said: ReadonlyArray<Transcript.Said>, as: Role) => {
  let heard = 0
  const ours: Array<{ readonly said: Transcript.Said; readonly heard: number }> = []
  for (const one of said) {
    if (one.from === as) ours.push({ said: one, heard })
    else if (isAwaited(one)) heard += 1
  }
  return ours
}

// Messages, over a connection.

const whyNot = (said: Transcript.Said): string | undefined => {
  switch (said._tag) {
    case "Raw":
      return "bytes that are no frame can be played as bytes only"
    case "Message":
      if (said.torn) return "half a message can be played as bytes only"
      if (said.cut > 0) return "not all of the message was recorded"
      return said.rsv === 0 ? undefined : "what an extension has coded has to be decoded first, or played as bytes"
    case "Close":
      return Result.isSuccess(CloseCode.decode(said.payload))
        ? undefined
        : "a Close that breaks a rule can be played as bytes only"
    default:
      return undefined
  }
}

const frameOf = (from: Role, t: number, opcode: Frame.Opcode, payload: Uint8Array): Recording.Recorded => ({
  _tag: "Frame",
  t,
  from,
  fin: true,
  rsv: 0,
  opcode,
  payload,
  cut: 0,
  torn: 0
})

const opcodeOf = (message: Message.Message): Frame.Opcode =>
  message._tag === "Text" ? Frame.Opcode.text : Frame.Opcode.binary

/** Writes down what is said over a connection, in messages, as long as there is room. */
class Notes {
  readonly entries: Array<Recording.Entry> = []
  readonly heard: Heard
  private readonly clock: Clock.Clock
  private readonly start: number
  private readonly maxPayloadBytes: number
  private readonly maxEntries: number
  private bytesLeft: number
  private isFull = false

  constructor(clock: Clock.Clock, from: Role, limits: Recorder.Options = {}) {
    this.clock = clock
    this.heard = new Heard(from)
    this.start = clock.currentTimeMillisUnsafe()
    this.maxPayloadBytes = limits.maxPayloadBytes ?? Recorder.defaults.maxPayloadBytes
    this.maxEntries = limits.maxEntries ?? Recorder.defaults.maxEntries
    this.bytesLeft = limits.maxBytes ?? Recorder.defaults.maxBytes
  }

  private get now(): number {
    return this.clock.currentTimeMillisUnsafe() - this.start
  }

  /** Gives `false` when there was no room for it. */
  said(from: Role, opcode: Frame.Opcode, payload: Uint8Array): boolean {
    if (this.isFull) return false
    const kept = Frame.isControl(opcode) ? payload : payload.slice(0, this.maxPayloadBytes)
    const entry = { ...frameOf(from, this.now, opcode, kept), cut: payload.length - kept.length }
    if (this.entries.length >= this.maxEntries || kept.length > this.bytesLeft) {
      this.isFull = true
      this.push({ _tag: "Omitted", t: entry.t, bytes: Recording.wireLength(entry) })
      return false
    }
    this.bytesLeft -= kept.length
    this.push(entry)
    return true
  }

  ended(error: string | undefined): void {
    this.push({ _tag: "End", t: this.now, error })
  }

  private push(entry: Recording.Entry): void {
    this.entries.push(entry)
    this.heard.push(entry)
  }

  recording(connection: WebSocket, role: Role): Recording.Recording {
    const { extensions, subprotocol } = connection
    const header = { _tag: "Header", role, url: undefined, subprotocol, start: this.start } as const
    return { header: { ...header, extensions: printed(extensions) }, entries: this.entries }
  }
}

const printed = (extensions: ReadonlyArray<Extensions.Extension>): string | undefined =>
  Result.getOrUndefined(Extensions.print(extensions)) || undefined

/** Takes down what comes, to the end, or as long as there is room: what there is none for is not read. */
const listen = (connection: WebSocket, notes: Notes, from: Role): Effect.Effect<void> =>
  Effect.gen(function* () {
    const next = Effect.flatMap(connection.receive, (message) =>
      notes.said(from, opcodeOf(message), message.bytes) ? Effect.void : Effect.never
    )
    const exit = yield* Effect.exit(Effect.forever(next))
    const { received } = yield* connection.closed
    if (received !== undefined) notes.said(from, Frame.Opcode.close, CloseCode.encode(received))
    const error = Exit.isFailure(exit) ? Exit.findErrorOption(exit) : Option.none()
    notes.ended(Option.isSome(error) && "reason" in error.value ? error.value.message : undefined)
  })

const say = (connection: WebSocket, notes: Notes, as: Role, said: Transcript.Said): Effect.Effect<boolean> => {
  const written = (opcode: Frame.Opcode) => Effect.sync(() => void notes.said(as, opcode, said.payload))
  const done = Effect.match({ onFailure: () => false, onSuccess: () => true })
  if (said._tag === "Message") {
    const isText = said.kind === "text"
    const message = isText ? new Message.Text(said.payload) : new Message.Binary(said.payload)
    const send = Effect.andThen(connection.send(message), written(isText ? Frame.Opcode.text : Frame.Opcode.binary))
    return done(send)
  }
  if (said._tag !== "Close") return Effect.succeed(true)
  const { code, reason } = Result.getOrThrow(CloseCode.decode(said.payload))
  return done(Effect.andThen(written(Frame.Opcode.close), connection.close(code, reason)))
}

/**
 * Says over an open connection what one side said in the recording, in messages, and gives what was then said on both
 * sides, as a recording for `compare`. A Close is performed as `connection.close` does. What WebSockets do by
 * themselves is left to the connection: fragments, Pings and Pongs.
 *
 * Ends when all is said and the other end has said as much as it did in the recording, its Close included; when it is
 * silent for `patience`; when there is no room for more; or when the connection ends. What it says later is not in what comes back. The connection
 * stays open if nothing in the recording closes it; nobody else may read from it meanwhile.
 *
 * Fails with `Unplayable`, before anything is said, for what cannot be said over a connection. See `playThrough` for
 * what can be said over a transport, and `Inflation` for messages that were compressed.
 */
export const play = (
  recording: Recording.Recording,
  connection: WebSocket,
  options: Options = {}
): Effect.Effect<Recording.Recording, Recording.Unplayable> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { as = "client", patience = defaultPatience } = options
      const from = Recording.other(as)
      const said = Transcript.read(recording)
      const ours = withHeard(said, as)
      for (const { said } of ours) {
        const why = whyNot(said)
        if (why !== undefined) return yield* new Recording.Unplayable({ entry: said.entry, why })
      }
      const notes = new Notes(yield* Clock.Clock, from, options.limits)
      yield* Effect.forkScoped(listen(connection, notes, from), { startImmediately: true })
      const steps = ours.map(({ heard, said }) => ({ t: said.t, heard, run: say(connection, notes, as, said) }))
      const isPlayed = yield* runSteps(steps, notes.heard, options)
      if (isPlayed) yield* notes.heard.waitFor(awaited(said, from), patience)
      return notes.recording(connection, as)
    })
  )

// Bytes, over a transport.

/** A frame as it is on the wire: with the length that its header said, and as much of the payload as there was. */
const encode = (frame: Recording.Recorded, key: number | undefined): ReadonlyArray<Uint8Array> => {
  const length = Recording.length(frame)
  const header = new Uint8Array(Frame.headerLength(length, key !== undefined))
  Frame.encodeHeaderInto(header, 0, frame, length, key)
  if (key === undefined) return [header, frame.payload]
  const payload = new Uint8Array(frame.payload)
  Mask.applyInPlace(payload, key)
  return [header, payload]
}

const isControl = (entry: Recording.Entry, opcode: Frame.Opcode): entry is Recording.Recorded =>
  entry._tag === "Frame" && entry.opcode === opcode

/** Pings that nobody has answered yet. */
class Pings {
  private readonly payloads: Array<string> = []

  push({ payload }: Recording.Recorded): void {
    this.payloads.push(payload.join())
  }

  /** Whether it is the answer to one of them, which is then answered. */
  answers({ payload }: Recording.Recorded): boolean {
    const at = this.payloads.indexOf(payload.join())
    if (at >= 0) this.payloads.splice(0, at + 1)
    return at >= 0
  }
}

type Write = (transport: Transport) => void

const writes = (
  recording: Recording.Recording,
  as: Role,
  nextKey: () => number
): Result.Result<ReadonlyArray<Omit<Step, "run"> & { readonly write: Write }>, Recording.Unplayable> => {
  const steps: Array<Omit<Step, "run"> & { readonly write: Write }> = []
  const reader = new Transcript.Reader()
  const pings = new Pings()
  let heard = 0
  for (const [i, entry] of recording.entries.entries()) {
    const said = reader.push(entry)
    if (!("from" in entry)) continue
    if (entry.from !== as) {
      if (said !== undefined && isAwaited(said)) heard += 1
      if (isControl(entry, Frame.Opcode.ping)) pings.push(entry)
      continue
    }
    if ("cut" in entry && entry.cut > 0) {
      return Result.fail(new Recording.Unplayable({ entry: i, why: "not all of it was recorded" }))
    }
    const add = (write: Write) => steps.push({ t: entry.t, heard, write })
    if (entry._tag === "Raw") add((transport) => transport.write(entry.bytes))
    else if (entry._tag === "Ended") add((transport) => (entry.abruptly ? transport.destroy() : transport.end()))
    else if (!isControl(entry, Frame.Opcode.pong) || !pings.answers(entry)) {
      add((transport) => transport.writeAll(encode(entry, as === "client" ? nextKey() : undefined)))
    }
  }
  return Result.succeed(steps)
}

const playOver = (
  recording: Recording.Recording,
  transport: Transport,
  facts: Facts,
  options: BytesOptions
): Effect.Effect<Recording.Recording, Recording.Unplayable> =>
  Effect.gen(function* () {
    const { limits = {}, maskingKey = () => 0, patience = defaultPatience } = options
    const as = facts.role
    const from = Recording.other(as)
    const steps = yield* Effect.fromResult(writes(recording, as, maskingKey))
    const heard = new Heard(from)
    const lines: Array<Recording.Header | Recording.Entry> = []
    const tapped = Recorder.tapUnsafe(yield* Clock.Clock, transport, facts, limits, (line) => {
      lines.push(line)
      if (line._tag === "Header") return
      heard.push(line)
      // A Ping that comes now is answered now, and not when one came then.
      if (isControl(line, Frame.Opcode.ping) && line.from === from) {
        const pong = frameOf(as, 0, Frame.Opcode.pong, line.payload)
        tapped.writeAll(encode(pong, as === "client" ? maskingKey() : undefined))
      }
    })
    tapped.open(deaf)
    const run = (write: Write) =>
      Effect.sync(() => {
        write(tapped)
        return !heard.isOver
      })
    const isPlayed = yield* runSteps(
      steps.map(({ heard, t, write }) => ({ t, heard, run: run(write) })),
      heard,
      options
    )
    const isAnswered = isPlayed && (yield* heard.waitFor(awaited(Transcript.read(recording), from), patience))
    if (isAnswered && Recording.isWhole(recording)) {
      yield* Effect.sync(() => tapped.end())
      yield* heard.waitForEnd(patience)
    }
    const [header, ...entries] = lines
    return { header: header as Recording.Header, entries: entries as ReadonlyArray<Recording.Entry> }
  }).pipe(Effect.ensuring(Effect.sync(() => transport.destroy())))

/** What comes is recorded, and heard by nobody else. */
const deaf: Receiver = { data: () => {}, drained: () => {}, peerEnded: () => {}, ended: () => {} }

/**
 * Writes to a bare transport, behind the opening handshake, what one side wrote in the recording: the same fragments, the
 * same bits, Pings, and what breaks a rule as it was. Gives all that then went over it, in both directions. Pings of the
 * other end are answered as they come, so Pongs of the recording are left out where they were such answers.
 *
 * Ends as `play` does, and then destroys the transport, which may not have been opened.
 *
 * Fails with `Unplayable`, before anything is written, where bytes of that side were not kept.
 */
export const playBytes = (
  recording: Recording.Recording,
  transport: Transport,
  options: BytesOptions = {}
): Effect.Effect<Recording.Recording, Recording.Unplayable> => {
  // Which bits are agreed on is not known here, so all may be.
  const extensions = { ...Extension.none, rsv: 7 }
  const { subprotocol, url } = recording.header
  return playOver(recording, transport, { role: options.as ?? "client", url, subprotocol, extensions }, options)
}

/** What a connection is given in place of its transport: nothing comes, what is sent is dropped, and it can end. */
class Silence implements Transport {
  readonly writableLength = 0
  private receiver: Receiver | undefined
  private hasEnded = false

  open(receiver: Receiver): void {
    this.receiver = receiver
    if (this.hasEnded) this.tell()
  }

  pause(): void {}

  resume(): void {}

  write(): void {}

  writeAll(): void {}

  end(): void {
    if (this.hasEnded) return
    this.hasEnded = true
    this.tell()
  }

  destroy(): void {
    this.end()
  }

  private tell(): void {
    queueMicrotask(() => {
      const { receiver } = this
      this.receiver = undefined
      receiver?.ended(undefined)
    })
  }
}

interface Taken {
  readonly transport: Transport
  readonly facts: Facts
}

/** The first transport that there is, taken from its connection. */
class Taking {
  readonly silence = new Silence()
  readonly taken = Deferred.makeUnsafe<Taken>()
  private first: Transport | undefined

  readonly tap: Tap = (transport, facts) => {
    if (this.first !== undefined) return transport
    this.first = transport
    Deferred.doneUnsafe(this.taken, Effect.succeed({ transport, facts }))
    return this.silence
  }

  destroy(): void {
    this.first?.destroy()
    this.silence.destroy()
  }
}

const checkExtensions = (
  { entries, header }: Recording.Recording,
  { extensions, role }: Facts
): Effect.Effect<void, Recording.Unplayable> => {
  const entry = entries.findIndex((one) => one._tag === "Frame" && one.from === role && one.rsv !== 0)
  const agreed = printed(extensions.response)
  if (entry < 0 || agreed === header.extensions) return Effect.void
  const why = `it is coded by ${header.extensions ?? "nothing known"}, and agreed on is ${agreed ?? "nothing"}`
  return Effect.fail(new Recording.Unplayable({ entry, why }))
}

/**
 * `playBytes` behind an opening handshake of a client or a server of ours. `open` makes a connection with the tap, and
 * waits for nothing that comes over it. The transport is taken from the first connection that there is, however long
 * that takes; the side that is played is the one that it is of.
 *
 *     const played = yield* Player.playThrough(log, (tap) => NodeWebSocket.open(url, { tap }))
 *
 * To play coded messages, as compressed ones are, both ends have to agree on what was agreed on then, so `open` has to
 * offer it; `Unplayable` otherwise.
 */
export const playThrough = <A, E, R>(
  recording: Recording.Recording,
  open: (tap: Tap) => Effect.Effect<A, E, R>,
  options: Omit<BytesOptions, "as"> = {}
): Effect.Effect<Recording.Recording, E | Recording.Unplayable, Exclude<R, Scope.Scope>> =>
  Effect.scoped(
    Effect.gen(function* () {
      const taking = new Taking()
      yield* Effect.addFinalizer(() => Effect.sync(() => taking.destroy()))
      yield* open(taking.tap)
      // Before the finalizer of the connection, which would wait for an answer to its Close.
      yield* Effect.addFinalizer(() => Effect.sync(() => taking.destroy()))
      const { facts, transport } = yield* Deferred.await(taking.taken)
      yield* checkExtensions(recording, facts)
      return yield* playOver(recording, transport, facts, options)
    })
  )
