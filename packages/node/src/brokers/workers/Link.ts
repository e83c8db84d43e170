/**
 * A node's connection to the host: what is asked and not answered yet, and what is told.
 */
import type { Socket } from "node:net"
import { toUSVString } from "node:util"
import { BrokerError, Rejected, StaleKey, TooLarge, Unavailable } from "@millrace/core/cluster/BrokerError"
import type * as Engine from "@millrace/core/cluster/Engine"
import type { Key } from "@millrace/core/cluster/Parcel"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Pipe } from "./Pipe.ts"
import * as Wire from "./Wire.ts"

/** What of its options a link has to know. */
export interface Settings {
  /** Most bytes of a parcel, or of a cast. */
  readonly maxParcelBytes: number
  /** Most bytes that wait for the host; who has more to say waits. */
  readonly outboxBytes: number
}

type Failed = Effect.Effect<never, BrokerError>

const unavailable = (outcome: Unavailable["outcome"], cause: unknown): BrokerError =>
  new BrokerError({ reason: new Unavailable({ outcome, cause }) })

const rejected = (sentence: string): BrokerError =>
  new BrokerError({ reason: new Rejected({ cause: new Error(sentence) }) })

/** Something that was asked. */
interface Call {
  readonly answered: (packet: Wire.FromHost) => void
  readonly refused: (reason: Wire.Refusal, words: string) => void
  readonly failed: (error: BrokerError) => void
}

class WorkersLink implements Engine.Link {
  private readonly receiver: Engine.Receiver
  private readonly settings: Settings
  private readonly welcomed: (error: BrokerError | undefined) => void
  private readonly end = Deferred.makeUnsafe<BrokerError>()
  private readonly pipe: Pipe
  private readonly calls = new Map<number, Call>()
  private readonly room = new Set<() => void>()
  private next = 0
  private epoch: string | undefined
  private isOver = false

  readonly ended: Engine.Link["ended"] = Deferred.await(this.end)

  constructor(
    socket: Socket,
    receiver: Engine.Receiver,
    settings: Settings,
    welcomed: (error: BrokerError | undefined) => void
  ) {
    this.receiver = receiver
    this.settings = settings
    this.welcomed = welcomed
    this.pipe = new Pipe(socket, settings.maxParcelBytes + Wire.maxOverhead, {
      packet: (bytes) => this.packet(bytes),
      drained: () => this.drained(),
      ended: (cause) => this.over(cause ?? new Error("the host has gone"))
    })
  }

  append(topic: string, bytes: Uint8Array, key: Key | undefined): ReturnType<Engine.Link["append"]> {
    const { maxParcelBytes } = this.settings
    if (!Wire.isName(topic)) return unspeakable(topic)
    if (bytes.length > maxParcelBytes) return tooLarge(bytes.length, maxParcelBytes)
    return this.call(
      (id) => ({ _tag: "Append", id, topic, key, bytes }),
      (packet) =>
        packet._tag === "Appended"
          ? { position: { epoch: this.epoch!, offset: packet.offset }, repeated: packet.repeated }
          : undefined,
      (reason, words) =>
        reason === "StaleKey" && key !== undefined
          ? new BrokerError({ reason: new StaleKey({ key }) })
          : new BrokerError({ reason: new TooLarge({ length: bytes.length, limit: Number(words) }) })
    )
  }

  since(...[topic, after]: Parameters<Engine.Link["since"]>): ReturnType<Engine.Link["since"]> {
    if (!Wire.isName(topic) || (after !== undefined && !Wire.isName(after.epoch))) return unspeakable(topic)
    return Effect.suspend(() => {
      const entries: Array<Engine.Tail["entries"][number]> = []
      return this.call(
        (id) => ({ _tag: "Since", id, topic, after }),
        (packet) => {
          if (packet._tag === "Entry") entries.push({ offset: packet.offset, bytes: packet.bytes })
          return packet._tag === "Tail"
            ? { entries, gap: packet.gap, to: { epoch: this.epoch!, offset: packet.offset } }
            : undefined
        }
      )
    })
  }

  get position(): Engine.Link["position"] {
    return this.call(
      (id) => ({ _tag: "Position", id }),
      (packet) => (packet._tag === "Positioned" ? { epoch: this.epoch!, offset: packet.offset } : undefined)
    )
  }

  listen(topics: ReadonlyArray<string>): Effect.Effect<void, BrokerError> {
    return this.subscribe("Listen", topics)
  }

  unlisten(topics: ReadonlyArray<string>): void {
    for (const names of Wire.portions(topics.filter(Wire.isName))) this.say({ _tag: "Unlisten", names })
  }

  cast(channel: string, bytes: Uint8Array): Effect.Effect<void, BrokerError> {
    const { maxParcelBytes } = this.settings
    if (!Wire.isName(channel)) return unspeakable(channel)
    if (bytes.length > maxParcelBytes) return tooLarge(bytes.length, maxParcelBytes)
    return this.call((id) => ({ _tag: "Cast", id, channel, bytes }), isDone)
  }

  hear(channels: ReadonlyArray<string>): Effect.Effect<void, BrokerError> {
    return this.subscribe("Hear", channels)
  }

  unhear(channels: ReadonlyArray<string>): void {
    for (const names of Wire.portions(channels.filter(Wire.isName))) this.say({ _tag: "Unhear", names })
  }

  close(): void {
    this.pipe.end(new Error("it was closed here"))
  }

  private subscribe(_tag: "Listen" | "Hear", all: ReadonlyArray<string>): Effect.Effect<void, BrokerError> {
    const wrong = all.find((name) => !Wire.isName(name))
    if (wrong !== undefined) return unspeakable(wrong)
    return Effect.forEach(Wire.portions(all), (names) => this.call((id) => ({ _tag, id, names }), isDone), {
      concurrency: "unbounded",
      discard: true
    })
  }

  private say(packet: Wire.FromNode): void {
    this.pipe.send(packet)
  }

  /** Asks, when there is room. `answer` gives `undefined` for what is not the end of the answer. */
  private call<A>(
    ask: (id: number) => Wire.FromNode,
    answer: (packet: Wire.FromHost) => A | undefined,
    refusal?: (reason: Wire.Refusal, words: string) => BrokerError
  ): Effect.Effect<A, BrokerError> {
    return Effect.callback<A, BrokerError>((resume) => {
      let id: number | undefined
      const send = () => {
        const mine = (id = this.next)
        this.next = (mine + 1) >>> 0
        this.calls.set(mine, {
          answered: (packet) => {
            const value = answer(packet)
            if (value === undefined) return
            this.calls.delete(mine)
            resume(Effect.succeed(value))
          },
          refused: (reason, words) => {
            this.calls.delete(mine)
            resume(Effect.fail(refusal?.(reason, words) ?? rejected(`${reason} ${words}`)))
          },
          failed: (error) => resume(Effect.fail(error))
        })
        this.say(ask(mine))
      }
      const attempt = () => {
        if (this.isOver) resume(this.gone)
        else if (this.pipe.waiting > this.settings.outboxBytes) this.room.add(attempt)
        else send()
      }
      attempt()
      return Effect.sync(() => {
        this.room.delete(attempt)
        if (id !== undefined) this.calls.delete(id)
      })
    })
  }

  private readonly gone: Failed = Effect.flatMap(this.ended, (error) =>
    Effect.fail(error.reason._tag === "Unavailable" ? unavailable("NotPublished", error.reason.cause) : error)
  )

  private drained(): void {
    for (const attempt of this.room) {
      if (this.pipe.waiting > this.settings.outboxBytes) return
      this.room.delete(attempt)
      attempt()
    }
  }

  private packet(bytes: Uint8Array): void {
    const read = Wire.decodeFromHost(bytes)
    if (Result.isFailure(read)) return this.pipe.end(new Error(`a packet of the host cannot be read: ${read.failure}`))
    const packet = read.success
    switch (packet._tag) {
      case "Delivered": {
        if (this.epoch === undefined) return this.pipe.end(new Error("the host says no welcome"))
        const { offset, previous, topic } = packet
        const position = { epoch: this.epoch, offset }
        return this.receiver.appended({ topic, position, previous, bytes: packet.bytes })
      }
      case "Heard":
        return this.receiver.heard(packet.channel, packet.bytes)
      case "Welcome":
        return this.welcome(packet)
      case "Refused":
        return this.calls.get(packet.id)?.refused(packet.reason, packet.words)
      default:
        return this.calls.get(packet.id)?.answered(packet)
    }
  }

  private welcome({ position, version }: Extract<Wire.FromHost, { readonly _tag: "Welcome" }>): void {
    if (this.epoch !== undefined) return this.pipe.end(new Error("the host says welcome twice"))
    if (version !== Wire.version) {
      const sentence = `the host speaks version ${version} of the link, this is ${Wire.version}: restart all workers`
      return this.pipe.end(rejected(sentence))
    }
    this.epoch = position.epoch
    this.welcomed(undefined)
  }

  private over(cause: unknown): void {
    this.isOver = true
    const error = cause instanceof BrokerError ? cause : unavailable("NotPublished", cause)
    Deferred.doneUnsafe(this.end, Effect.succeed(error))
    if (this.epoch === undefined) this.welcomed(error)
    const calls = [...this.calls.values()]
    this.calls.clear()
    const waiting = [...this.room]
    this.room.clear()
    for (const attempt of waiting) attempt()
    const unknown = calls.length === 0 ? undefined : unavailable("Unknown", cause)
    for (const { failed } of calls) failed(unknown!)
  }
}

const isDone = (packet: Wire.FromHost): true | undefined => (packet._tag === "Done" ? true : undefined)

const unspeakable = (name: string): Failed =>
  Effect.fail(
    rejected(
      toUSVString(name) === name
        ? `a name of more than ${Wire.maxNameBytes} bytes`
        : "a name that is not well-formed text, so two of them could be one"
    )
  )

const tooLarge = (length: number, limit: number): Failed =>
  Effect.fail(new BrokerError({ reason: new TooLarge({ length, limit }) }))

/** A link over the socket, which it owns, as long as the scope is open. Succeeds when the host has said welcome. */
export const make = (
  socket: Socket,
  receiver: Engine.Receiver,
  settings: Settings
): Effect.Effect<Engine.Link, BrokerError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<WorkersLink, BrokerError>((resume) => {
      const link: WorkersLink = new WorkersLink(socket, receiver, settings, (error) =>
        resume(error === undefined ? Effect.succeed(link) : Effect.fail(error))
      )
      return Effect.sync(() => link.close())
    }),
    (link) => Effect.sync(() => link.close()),
    { interruptible: true }
  )
