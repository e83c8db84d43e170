/**
 * What two ends say to each other, as one value that both of them import:
 *
 *     const Chat = Contract.make("chat", {
 *       version: "1",
 *       events: { said: Schema.Struct({ from: Schema.String, text: Schema.String }) },
 *       commands: { say: Schema.Struct({ text: Schema.String }) },
 *       requests: { rename: { payload: Schema.String, error: NameTaken } },
 *       streams: { history: { payload: Since, element: Entry, error: Gone } }
 *     })
 *
 * It is checked at run time in both directions: `Session` encodes what is said with it and decodes what is heard.
 * Not in here: how that goes over a wire (`Packet`, `MessageCodec`), and what it looks like to other languages
 * (`ContractDocument`).
 */
import type { StandardSchemaV1 } from "effect/StandardSchema"
import * as Base64 from "../codec/Base64.ts"
import * as ReservedName from "../codec/ReservedName.ts"
import * as Sha1 from "../codec/Sha1.ts"
import * as Coder from "./Coder.ts"
import * as SchemaCoder from "./SchemaCoder.ts"

/** What a value may be described by: a schema of Effect's that needs no service, or any Standard Schema. */
export type AnySchema = SchemaCoder.Codec | StandardSchemaV1

/** What is said by who has such a schema. */
export type Sent<S> = S extends StandardSchemaV1
  ? StandardSchemaV1.InferInput<S>
  : S extends SchemaCoder.Codec
    ? S["Type"]
    : never

/** What is heard by who has such a schema. */
export type Received<S> = S extends StandardSchemaV1
  ? StandardSchemaV1.InferOutput<S>
  : S extends SchemaCoder.Codec
    ? S["Type"]
    : never

/** A question with one answer. */
export interface RequestDefinition {
  /** Default: nothing. */
  readonly payload?: AnySchema | undefined
  /** Default: nothing. */
  readonly success?: AnySchema | undefined
  /** Errors that are part of the contract. Default: there are none. */
  readonly error?: AnySchema | undefined
  /**
   * Whether asking it again is safe: then a client asks again when it has come back, with the same key, and gets the
   * answer that was given already. Default: no.
   */
  readonly idempotent?: boolean | undefined
}

/** A question that is answered by a stream. */
export interface StreamDefinition {
  /** Default: nothing. */
  readonly payload?: AnySchema | undefined
  readonly element: AnySchema
  /** Default: there are none. */
  readonly error?: AnySchema | undefined
}

type Messages = Readonly<Record<string, AnySchema>>
type Requests = Readonly<Record<string, RequestDefinition>>
type Streams = Readonly<Record<string, StreamDefinition>>

/** Everything is optional, and what is left out is empty. */
export interface Definition {
  /** Ends with different versions do not talk. Default `"1"`. */
  readonly version?: string | undefined
  /** What a client says of itself in its first message, for `authenticate` to judge. Default: nothing. */
  readonly credentials?: AnySchema | undefined
  /** Said by the server, not answered. */
  readonly events?: Messages | undefined
  /** Said by the client, not answered. */
  readonly commands?: Messages | undefined
  /** Asked by the client. */
  readonly requests?: Requests | undefined
  /** Asked by the client. */
  readonly streams?: Streams | undefined
  /** Asked by the server. */
  readonly serverRequests?: Requests | undefined
  /** Asked by the server. */
  readonly serverStreams?: Streams | undefined
}

/** Which end. */
export type Role = "client" | "server"

/** What one end may say and ask, as types. */
export interface Vocabulary {
  readonly messages: Messages
  readonly requests: Requests
  readonly streams: Streams
}

type Or<T, Otherwise> = T extends undefined ? Otherwise : T
type Part<D extends Definition, Key extends keyof Definition> = Key extends keyof D ? Or<D[Key], {}> : {}

/** What the client of a contract may say. */
export interface ClientSays<D extends Definition> {
  readonly messages: Part<D, "commands">
  readonly requests: Part<D, "requests">
  readonly streams: Part<D, "streams">
}

/** What its server may say. */
export interface ServerSays<D extends Definition> {
  readonly messages: Part<D, "events">
  readonly requests: Part<D, "serverRequests">
  readonly streams: Part<D, "serverStreams">
}

/** What is said of itself by a client. */
export type Credentials<D extends Definition> = "credentials" extends keyof D ? D["credentials"] : undefined

// Compiled.

/** A message that nobody answers. */
export interface MessageCoder {
  readonly _tag: "Message"
  readonly name: string
  readonly payload: Coder.Coder<unknown>
}

export interface RequestCoder {
  readonly _tag: "Request"
  readonly name: string
  readonly payload: Coder.Coder<unknown>
  readonly success: Coder.Coder<unknown>
  readonly error: Coder.Coder<unknown>
  readonly idempotent: boolean
}

export interface StreamCoder {
  readonly _tag: "Stream"
  readonly name: string
  readonly payload: Coder.Coder<unknown>
  readonly element: Coder.Coder<unknown>
  readonly error: Coder.Coder<unknown>
}

/** What one end may say, by the names that the other end hears, so no object. A name has one meaning. */
export type Coders = ReadonlyMap<string, MessageCoder | RequestCoder | StreamCoder>

/** A contract. A plain value, shared by both ends, compiled when it is first used. */
export interface Contract<out D extends Definition = Definition> {
  readonly name: string
  readonly version: string
  /** What it was made of. */
  readonly definition: D
  readonly credentials: Coder.Coder<unknown>
  readonly says: Readonly<Record<Role, Coders>>
  /**
   * 12 characters that are the same for contracts with the same names, versions, idempotent requests and shapes on the
   * wire. Of Standard Schemas only the vendor is known, not the shape.
   */
  readonly hash: string
}

const checked = (name: string): string => {
  if (name === "" || ReservedName.is(name)) throw new TypeError(`${JSON.stringify(name)} is no name`)
  return name
}

/** `{ __proto__: schema }` gives an object a prototype, and no entry. */
const entriesOf = <A>(part: Readonly<Record<string, A>>): ReadonlyArray<[string, A]> => {
  const prototype: unknown = Object.getPrototypeOf(part)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) checked("__proto__")
  const entries = Object.entries(part)
  for (const [name] of entries) checked(name)
  return entries
}

/** A word that is misspelt would be ignored, and what it says with it. */
const refuseOthers = (given: object, known: ReadonlyArray<string>): void => {
  const other = Object.keys(given).find((word) => !known.includes(word))
  if (other !== undefined) throw new TypeError(`${JSON.stringify(other)} is none of ${known.join(", ")}`)
}

const parts = ["events", "commands", "requests", "streams", "serverRequests", "serverStreams"] as const
const words = ["version", "credentials", ...parts]
const requestWords = ["payload", "success", "error", "idempotent"]
const streamWords = ["payload", "element", "error"]

const coderOf = (schema: AnySchema | undefined, otherwise: Coder.Coder<never>): Coder.Coder<unknown> =>
  (schema === undefined
    ? otherwise
    : "~standard" in schema
      ? Coder.fromStandard(schema)
      : SchemaCoder.make(schema)) as Coder.Coder<unknown>

/** The same by Standard Schemas alone, so that nothing of `effect/Schema` is loaded. */
const coderOfStandard = (schema: AnySchema | undefined, otherwise: Coder.Coder<never>): Coder.Coder<unknown> =>
  (schema === undefined ? otherwise : Coder.fromStandard(schema as StandardSchemaV1)) as Coder.Coder<unknown>

type CoderOf = typeof coderOf

const codersOf = (coderOf: CoderOf, messages: Messages = {}, requests: Requests = {}, streams: Streams = {}) => {
  const coders = new Map<string, MessageCoder | RequestCoder | StreamCoder>()
  const add = (coder: MessageCoder | RequestCoder | StreamCoder): void => {
    if (coders.has(coder.name)) throw new TypeError(`${JSON.stringify(coder.name)} is there twice`)
    coders.set(coder.name, coder)
  }
  for (const [name, schema] of entriesOf(messages)) {
    add({ _tag: "Message", name, payload: coderOf(schema, Coder.nothing) })
  }
  for (const [name, definition] of entriesOf(requests)) {
    refuseOthers(definition, requestWords)
    const { error, idempotent = false, payload, success } = definition
    add({
      _tag: "Request",
      name,
      payload: coderOf(payload, Coder.nothing),
      success: coderOf(success, Coder.nothing),
      error: coderOf(error, Coder.never),
      idempotent
    })
  }
  for (const [name, definition] of entriesOf(streams)) {
    refuseOthers(definition, streamWords)
    const { element, error, payload } = definition
    add({
      _tag: "Stream",
      name,
      payload: coderOf(payload, Coder.nothing),
      element: coderOf(element, Coder.nothing),
      error: coderOf(error, Coder.never)
    })
  }
  return coders
}

const signatureOf = (coders: Coders): unknown =>
  [...coders.values()]
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((coder) => {
      const { _tag, name, payload } = coder
      if (_tag === "Message") return [_tag, name, payload.signature()]
      const answer = _tag === "Request" ? coder.success : coder.element
      const isIdempotent = _tag === "Request" && coder.idempotent
      return [_tag, name, payload.signature(), answer.signature(), coder.error.signature(), isIdempotent]
    })

const hashOf = ({ credentials, name, says, version }: Omit<Contract, "hash">): string => {
  const signature = [name, version, credentials.signature(), signatureOf(says.client), signatureOf(says.server)]
  return Base64.encode(Sha1.digest(new TextEncoder().encode(JSON.stringify(signature)))).slice(0, 12)
}

/** Computes the hash when it is first asked for: it looks at every schema. */
const hashed = <D extends Definition>(contract: Omit<Contract<D>, "hash">): Contract<D> => {
  let hash: string | undefined
  return {
    ...contract,
    get hash() {
      return (hash ??= hashOf(contract))
    }
  }
}

const compile = <D extends Definition>(coderOf: CoderOf, name: string, definition: D): Contract<D> => {
  refuseOthers(definition, words)
  const { commands, credentials, events, requests, serverRequests, serverStreams, streams, version = "1" } = definition
  return hashed({
    name,
    version,
    definition,
    credentials: coderOf(credentials, Coder.nothing),
    says: {
      client: codersOf(coderOf, commands, requests, streams),
      server: codersOf(coderOf, events, serverRequests, serverStreams)
    }
  })
}

/**
 * Makes a contract. Dies of a `TypeError` for a name that is empty, `__proto__`, `constructor` or `prototype`, and for
 * one that the same end would use for two things; for such a field of a schema, which no codec would let pass; and for
 * a word of a definition that is none, as `idempotant` is.
 */
export const make = <const D extends Definition>(name: string, definition: D): Contract<D> =>
  compile(coderOf, name, definition)

/** The same of Standard Schemas only: a client that is bundled with it has nothing of `effect/Schema` in it. */
export const fromStandard = <const D extends Definition>(name: string, definition: D): Contract<D> =>
  compile(coderOfStandard, name, definition)

// Composition.

type Merged<A extends Definition, B extends Definition, Key extends keyof Definition> = Part<A, Key> & Part<B, Key>

/** What two definitions say together. */
export interface Merge<A extends Definition, B extends Definition> {
  readonly version: string
  readonly credentials: [Credentials<A>] extends [undefined] ? Credentials<B> : Credentials<A>
  readonly events: Merged<A, B, "events">
  readonly commands: Merged<A, B, "commands">
  readonly requests: Merged<A, B, "requests">
  readonly streams: Merged<A, B, "streams">
  readonly serverRequests: Merged<A, B, "serverRequests">
  readonly serverStreams: Merged<A, B, "serverStreams">
}

const both = (one: Coders, other: Coders): Coders => {
  const coders = new Map(one)
  for (const [name, coder] of other) {
    if (coders.has(name)) throw new TypeError(`${JSON.stringify(name)} is there twice`)
    coders.set(name, coder)
  }
  return coders
}

/**
 * Both contracts as one, with the name and the version of the first, and the credentials of whichever has some. Dies of
 * a `TypeError` when they have a name in common: see `namespace`.
 */
export const merge = <A extends Definition, B extends Definition>(
  self: Contract<A>,
  that: Contract<B>
): Contract<Merge<A, B>> => {
  const [mine, theirs] = [self.definition, that.definition]
  const definition: Definition = {
    ...Object.fromEntries(parts.map((part) => [part, { ...mine[part], ...theirs[part] }])),
    version: self.version,
    credentials: mine.credentials ?? theirs.credentials
  }
  return hashed({
    name: self.name,
    version: self.version,
    definition: definition as unknown as Merge<A, B>,
    credentials: mine.credentials === undefined ? that.credentials : self.credentials,
    says: { client: both(self.says.client, that.says.client), server: both(self.says.server, that.says.server) }
  })
}

type Prefixed<T, Prefix extends string, Value> = {
  readonly [Name in keyof T & string as `${Prefix}.${Name}`]: Extract<T[Name], Value>
}

/** What a definition says with all its names in a namespace. */
export interface Namespaced<D extends Definition, Prefix extends string> {
  readonly version: string
  readonly credentials: Credentials<D>
  readonly events: Prefixed<Part<D, "events">, Prefix, AnySchema>
  readonly commands: Prefixed<Part<D, "commands">, Prefix, AnySchema>
  readonly requests: Prefixed<Part<D, "requests">, Prefix, RequestDefinition>
  readonly streams: Prefixed<Part<D, "streams">, Prefix, StreamDefinition>
  readonly serverRequests: Prefixed<Part<D, "serverRequests">, Prefix, RequestDefinition>
  readonly serverStreams: Prefixed<Part<D, "serverStreams">, Prefix, StreamDefinition>
}

/** The same contract, with `prefix` and a dot before each of its names: to be merged with others. The prefix is a name. */
export const namespace = <D extends Definition, const Prefix extends string>(
  self: Contract<D>,
  prefix: Prefix
): Contract<Namespaced<D, Prefix>> => {
  checked(prefix)
  const named = (coders: Coders): Coders =>
    new Map(
      [...coders.values()].map((coder) => [`${prefix}.${coder.name}`, { ...coder, name: `${prefix}.${coder.name}` }])
    )
  const { definition } = self
  const prefixed = (part: Readonly<Record<string, unknown>> = {}) =>
    Object.fromEntries(Object.entries(part).map(([name, value]) => [`${prefix}.${name}`, value]))
  return hashed<Namespaced<D, Prefix>>({
    ...self,
    definition: {
      ...Object.fromEntries(parts.map((part) => [part, prefixed(definition[part])])),
      version: self.version,
      credentials: definition.credentials
    } as unknown as Namespaced<D, Prefix>,
    says: { client: named(self.says.client), server: named(self.says.server) }
  })
}
