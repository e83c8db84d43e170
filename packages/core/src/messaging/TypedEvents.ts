/**
 * Events whose data is checked by a schema, one for each name, at both ends.
 *
 *     const Chat = TypedEvents.make({
 *       said: Schema.Struct({ from: Schema.String, text: Schema.String }),
 *       level: TypedEvents.text(Schema.FiniteFromString)
 *     })
 *
 *     events.pipe(TypedEvents.decode(Chat), Stream.runForEach((event) => ...))   // a client: event.event is the tag
 *     typed.pipe(TypedEvents.encode(Chat), ...)                                  // a server
 *
 * The data is JSON unless `text` says otherwise. Not in here: the events themselves, which are those of
 * `codec/EventStream`.
 */
import type * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Event, Printable } from "../codec/EventStream.ts"

/** What data can be checked by: a schema that needs no service and decides at once. */
export type DataSchema = Schema.ConstraintCodec<unknown, unknown>

/** The data is a string as it is, and no JSON: see `text`. */
export interface Text<out S extends Schema.ConstraintCodec<unknown, string>> {
  readonly _tag: "Text"
  readonly schema: S
}

/** For each name of an event, what its data is. An event without a name has the name `message`. */
export type Definition = Readonly<Record<string, DataSchema | Text<Schema.ConstraintCodec<unknown, string>>>>

/** What the data is in the end. */
type DataOf<D> = D extends Text<infer S> ? S["Type"] : D extends DataSchema ? D["Type"] : never

/** An event whose data has been decoded; its name says which data it is. */
export type Typed<D extends Definition> = {
  readonly [Name in keyof D & string]: {
    readonly event: Name
    readonly data: DataOf<D[Name]>
    /** The last event ID at this event, as `EventStream.Event` has it. */
    readonly id: string
  }
}[keyof D & string]

/** An event to be sent. */
export type Sendable<D extends Definition> = {
  readonly [Name in keyof D & string]: {
    readonly event: Name
    readonly data: DataOf<D[Name]>
    readonly id?: string | undefined
    /** In milliseconds, an integer: see `EventStream.Printable`. */
    readonly retry?: number | undefined
  }
}[keyof D & string]

/** The sender's fault: the data of an event is not what its name promises. */
export class UndecodableEvent extends Data.TaggedError("UndecodableEvent")<{
  /** As it came. */
  readonly event: Event
  /** A `SchemaError` with all its paths, the `SyntaxError` of what is no JSON, or what the schema has thrown. */
  readonly cause: unknown
}> {
  override get message(): string {
    return `the data of the event ${JSON.stringify(this.event.event)} is not what it should be: ${wordsOf(this.cause)}`
  }
}

/** The caller's fault: data that its schema does not encode. Nothing was sent. */
export class UnencodableEvent extends Data.TaggedError("UnencodableEvent")<{
  /** Its name. */
  readonly event: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `the data of an event ${JSON.stringify(this.event)} cannot be sent: ${wordsOf(this.cause)}`
  }
}

const wordsOf = (cause: unknown): string => {
  if (cause instanceof Error) return cause.message
  return typeof cause === "string" ? cause : "the schema has thrown what is no error"
}

interface Coding {
  readonly decode: (data: string) => Result.Result<unknown, unknown>
  readonly encode: (value: unknown) => Result.Result<string, unknown>
}

/** Events by their names. Made once, shared by both ends. */
export interface TypedEvents<out D extends Definition> {
  readonly definition: D
  /** By the names that a peer chooses, so no object. */
  readonly codings: ReadonlyMap<string, Coding>
}

/** Data that is a string as it is: `Schema.String`, or a schema that makes something of a string. */
export const text = <S extends Schema.ConstraintCodec<unknown, string>>(schema: S): Text<S> => ({
  _tag: "Text",
  schema
})

const isText = (schema: Definition[string]): schema is Text<Schema.ConstraintCodec<unknown, string>> =>
  "_tag" in schema && schema._tag === "Text"

/** A transformation may throw or wait, and a schema that contains itself goes as deep as the sender has gone. */
const total =
  <A, B>(code: (value: A) => Result.Result<B, unknown>) =>
  (value: A): Result.Result<B, unknown> => {
    try {
      return code(value)
    } catch (cause) {
      return Result.fail(cause)
    }
  }

const codingOf = (given: Definition[string]): Coding => {
  if (isText(given)) {
    return {
      decode: total(Schema.decodeUnknownResult(given.schema)),
      encode: total(Schema.encodeUnknownResult(given.schema))
    }
  }
  const schema = Schema.toCodecJson(given)
  const decode = total(Schema.decodeUnknownResult(schema))
  const encode = total(Schema.encodeUnknownResult(schema))
  return {
    // By hand: the codec of JSON strings takes twice the time.
    decode: (data) => Result.flatMap(parseJson(data), (json) => decode(json)),
    encode: (value) => Result.map(encode(value), (json) => JSON.stringify(json))
  }
}

const parseJson = (data: string): Result.Result<unknown, unknown> =>
  Result.try({ try: () => JSON.parse(data) as unknown, catch: (cause) => cause })

export const make = <const D extends Definition>(definition: D): TypedEvents<D> => ({
  definition,
  codings: new Map(Object.entries(definition).map(([name, schema]) => [name, codingOf(schema)]))
})

/** What is done with events that are not as they should be. */
export interface Handlers<E1 = never, R1 = never, E2 = never, R2 = never> {
  /**
   * Told of an event whose data does not decode, which is then left out; fails where that is to be the end. Default:
   * the stream fails with it.
   */
  readonly onUndecodable?: ((error: UndecodableEvent) => Effect.Effect<unknown, E1, R1>) | undefined
  /** Told of an event whose name is none of ours, which is then left out. Default: it is left out. */
  readonly onUnknown?: ((event: Event) => Effect.Effect<unknown, E2, R2>) | undefined
}

/** One event; `undefined` when its name is none of ours. */
export const decodeEvent = <D extends Definition>(
  self: TypedEvents<D>,
  event: Event
): Result.Result<Typed<D>, UndecodableEvent> | undefined => {
  const decoded = self.codings.get(event.event)?.decode(event.data)
  if (decoded === undefined) return undefined
  if (Result.isFailure(decoded)) return Result.fail(new UndecodableEvent({ event, cause: decoded.failure }))
  return Result.succeed({ event: event.event, data: decoded.success, id: event.id } as Typed<D>)
}

/**
 * Decodes events, in order: what came before one that does not decode is delivered before anybody is told of it.
 */
export const decode =
  <D extends Definition, E1 = UndecodableEvent, R1 = never, E2 = never, R2 = never>(
    self: TypedEvents<D>,
    handlers: Handlers<E1, R1, E2, R2> = {}
  ) =>
  <E, R>(events: Stream.Stream<Event, E, R>): Stream.Stream<Typed<D>, E | E1 | E2, R | R1 | R2> =>
    Stream.transformPull(events, (upstream) =>
      Effect.sync(() => {
        const onUndecodable = handlers.onUndecodable ?? ((error) => Effect.fail(error as E1))
        const onUnknown = handlers.onUnknown ?? (() => Effect.void)
        let pulled: ReadonlyArray<Event> = []
        let at = 0
        const pull: Effect.Effect<Arr.NonEmptyReadonlyArray<Typed<D>>, E | E1 | E2, R1 | R2> = Effect.suspend(() => {
          const decoded: Array<Typed<D>> = []
          for (; at < pulled.length; at++) {
            const event = pulled[at]!
            const result = decodeEvent(self, event)
            if (result !== undefined && Result.isSuccess(result)) {
              decoded.push(result.success)
            } else if (result !== undefined || handlers.onUnknown !== undefined) {
              if (decoded.length > 0) break
              at++
              const told: Effect.Effect<unknown, E1 | E2, R1 | R2> =
                result === undefined ? onUnknown(event) : onUndecodable(result.failure)
              return Effect.flatMap(told, () => pull)
            }
          }
          if (decoded.length > 0) return Effect.succeed(decoded as unknown as Arr.NonEmptyReadonlyArray<Typed<D>>)
          return Effect.flatMap(upstream as unknown as Effect.Effect<Arr.NonEmptyReadonlyArray<Event>, E>, (events) => {
            pulled = events
            at = 0
            return pull
          })
        })
        return pull
      })
    )

/** One event as `EventStream.print` and the servers take it. */
export const encodeEvent = <D extends Definition>(
  self: TypedEvents<D>,
  { data, ...rest }: Sendable<D>
): Result.Result<Printable, UnencodableEvent> => {
  const encoded = self.codings.get(rest.event)?.encode(data) ?? Result.fail(new TypeError("it has no schema"))
  if (Result.isFailure(encoded)) return Result.fail(new UnencodableEvent({ event: rest.event, cause: encoded.failure }))
  return Result.succeed({ ...rest, data: encoded.success })
}

/** Encodes events, in order. The stream fails at the first that its schema does not encode. */
export const encode =
  <D extends Definition>(self: TypedEvents<D>) =>
  <E, R>(events: Stream.Stream<Sendable<D>, E, R>): Stream.Stream<Printable, E | UnencodableEvent, R> =>
    Stream.mapEffect(events, (event) => Effect.fromResult(encodeEvent(self, event)))
