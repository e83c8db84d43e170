/**
 * A contract for those who write the other end in another language: as JSON Schema, and as AsyncAPI 3.0. Both are plain
 * values, to be printed by `JSON.stringify`, and describe what is on the wire, not what a program makes of it.
 *
 * It brings a good part of `effect/Schema` with it, and nothing else imports it: for scripts and servers.
 */
import * as JsonSchema from "effect/JsonSchema"
import type * as Contract from "./Contract.ts"
import * as ContractSchemas from "./ContractSchemas.ts"

type Json = Readonly<Record<string, unknown>>

/** The draft that a JSON Schema is written in. */
export const draft = JsonSchema.META_SCHEMA_URI_DRAFT_2020_12

/**
 * One JSON Schema, draft 2020-12, with a definition for each part of the contract: `client.say.payload`,
 * `client.rename.success`, `server.said.payload`, `client.credentials`. `client` and `server` is who says it, also of
 * what is asked; answers are found beside their questions.
 *
 * What cannot be described, such as a Standard Schema that does not describe itself, is `true`. Bytes have no type in
 * JSON, and are `"format": "binary"`.
 */
export const jsonSchema = (contract: Contract.Contract): Json => {
  const { definitions, schemas } = ContractSchemas.describe(contract)
  const parts = [...schemas].map(([key, schema]) => [key, Object.keys(schema).length === 0 ? true : schema] as const)
  return {
    $schema: draft,
    title: contract.name,
    $comment: `version ${contract.version}, hash ${contract.hash}`,
    $defs: { ...definitions, ...Object.fromEntries(parts) }
  }
}

// AsyncAPI.

/** What a document says beside the contract. */
export interface AsyncApiOptions {
  /** Default: the name of the contract. */
  readonly title?: string | undefined
  /** Of the document. Default: the version of the contract. */
  readonly version?: string | undefined
  /** By name, `{ production: { host: "chat.example.com", protocol: "wss", pathname: "/chat" } }`. Default: none. */
  readonly servers?: Readonly<Record<string, AsyncApiServer>> | undefined
}

export interface AsyncApiServer {
  /** With the port, if it is not that of the protocol. */
  readonly host: string
  /** `ws`, `wss`, `https`... */
  readonly protocol: string
  readonly pathname?: string | undefined
  readonly description?: string | undefined
}

/** Keys of components are of few characters: AsyncAPI 3.0, Components Object. No two names have the same key. */
const makeKeys = () => {
  const keys = new Map<string, string>()
  const taken = new Set<string>()
  return (...name: ReadonlyArray<string>): string => {
    const whole = JSON.stringify(name)
    const known = keys.get(whole)
    if (known !== undefined) return known
    const plain = name.join(".").replaceAll(/[^A-Za-z0-9._-]/g, "_")
    let key = plain
    for (let i = 2; taken.has(key); i++) key = `${plain}-${i}`
    keys.set(whole, key)
    taken.add(key)
    return key
  }
}

const id: Json = { type: "integer", minimum: 1, description: "chosen by who asks, never the same again in a session" }
const credit: Json = { type: "integer", minimum: 1, description: "how many elements more may be sent" }
const meta: Json = {
  type: "object",
  properties: { key: { type: "string", maxLength: 256 }, trace: { type: "string", maxLength: 256 } }
}

/** A packet is an array, whose last elements may be missing: docs/session-protocol.md. */
const packet = (required: ReadonlyArray<Json>, optional: ReadonlyArray<Json> = []): Json => ({
  type: "array",
  items: [...required, ...optional],
  minItems: required.length
})

const text: Json = { type: "string" }

const word = (value: string): Json => ({ const: value })

/** What every session says, whatever its contract. */
const common: Readonly<Record<string, Json>> = {
  welcome: packet([
    word("welcome"),
    {
      type: "object",
      properties: { contract: text, version: text, hash: text, session: text },
      required: ["contract", "version", "session"]
    }
  ]),
  fail: packet(
    [word("fail"), id, { enum: ["unknown", "invalid", "defect", "unavailable", "conflict"] }],
    [{ ...text, description: "for people" }]
  ),
  more: packet([word("more"), id, credit]),
  end: packet([word("end"), id]),
  cancel: packet([word("cancel"), id]),
  ping: packet([word("ping"), id]),
  pong: packet([word("pong"), id])
}

const hello = (credentials: Json): Json =>
  packet([
    word("hello"),
    {
      type: "object",
      properties: { contract: text, version: text, hash: text, credentials },
      required: ["contract", "version"]
    }
  ])

/** The name of a definition that a pointer of either draft leads to. */
const pointedTo = (pointer: string): string | undefined => {
  const [, name] = /^#\/(?:\$defs|definitions)\/([^/]*)$/.exec(pointer) ?? []
  return name === undefined ? undefined : decodeURIComponent(name).replaceAll("~1", "/").replaceAll("~0", "~")
}

const pointers = (keys: ReadonlyArray<string>) => keys.map((key) => ({ $ref: `#/channels/session/messages/${key}` }))

const channel = { $ref: "#/channels/session" }

/**
 * The contract as an AsyncAPI 3.0 document, as the server sees it: it receives what clients say. All goes over one
 * channel, `session`. Messages are whole packets as they are in JSON; `x-millrace` says which kind of packet it is, and
 * of streams that many elements come, with credit for each.
 */
export const asyncApi = (contract: Contract.Contract, options: AsyncApiOptions = {}): Json => {
  const { definitions, schemas } = ContractSchemas.describe(contract)
  const schemaKey = makeKeys()
  const referenceTo = (name: string): string => `#/components/schemas/${schemaKey(name)}`
  const inDraft07 = (schema: JsonSchema.JsonSchema): Json => {
    const { schema: converted } = JsonSchema.toDocumentDraft07({ dialect: "draft-2020-12", schema, definitions: {} })
    return ContractSchemas.withReferences(converted, (pointer) => {
      const name = pointedTo(pointer)
      return name === undefined ? pointer : referenceTo(name)
    }) as Json
  }
  const components = Object.fromEntries(
    [...Object.entries(definitions), ...schemas].map(([name, schema]) => [schemaKey(name), inDraft07(schema)])
  )
  const part = (...name: ReadonlyArray<string>): Json => ({ $ref: referenceTo(name.join(".")) })

  const messageKey = makeKeys()
  const messages: Record<string, Json> = {}
  const operations: Record<string, Json> = {}
  /** Says a packet, and gives the key of it. */
  const message = (name: ReadonlyArray<string>, payload: Json, marks: Json): string => {
    const key = messageKey(...name)
    messages[key] = { name: name.join("."), payload, "x-millrace": marks }
    return key
  }
  const operation = (key: string, action: "receive" | "send", answers: ReadonlyArray<string>, marks: Json): void => {
    operations[key] = {
      action,
      channel,
      messages: pointers([key]),
      ...(answers.length === 0 ? {} : { reply: { channel, messages: pointers(answers) } }),
      "x-millrace": marks
    }
  }

  for (const [name, payload] of Object.entries(common)) message([name], payload, { packet: name })
  operation(message(["hello"], hello(part("client", "credentials")), { packet: "hello" }), "receive", ["welcome"], {
    kind: "hello"
  })
  for (const role of ContractSchemas.roles) {
    const action = role === "client" ? "receive" : "send"
    for (const coder of contract.says[role].values()) {
      const name = [role, coder.name]
      const payload = part(...name, "payload")
      const named = word(coder.name)
      if (coder._tag === "Message") {
        const said = message(name, packet([word("emit"), named, payload], [meta]), { packet: "emit" })
        operation(said, action, [], { kind: "message" })
        continue
      }
      const answer = (of: string, kind: string, value: Json): string =>
        message([...name, of], packet([word(kind), id, value]), { packet: kind })
      const failures = ContractSchemas.isNever(coder.error)
        ? ["fail"]
        : [answer("error", "err", part(...name, "error")), "fail"]
      if (coder._tag === "Request") {
        const asked = message(name, packet([word("ask"), id, named, payload], [meta]), { packet: "ask" })
        const success = answer("success", "ok", part(...name, "success"))
        const marks = { kind: "request", idempotent: coder.idempotent, cancel: pointers(["cancel"]) }
        operation(asked, action, [success, ...failures], marks)
      } else {
        const asked = message(name, packet([word("open"), id, named, payload, credit], [meta]), { packet: "open" })
        const elements = { type: "array", items: part(...name, "element"), minItems: 1 }
        const marks = { kind: "stream", flow: pointers(["more"]), cancel: pointers(["cancel"]) }
        operation(asked, action, [answer("element", "items", elements), "end", ...failures], marks)
      }
    }
  }
  return {
    asyncapi: "3.0.0",
    info: {
      title: options.title ?? contract.name,
      version: options.version ?? contract.version,
      "x-millrace": { contract: contract.name, version: contract.version, hash: contract.hash }
    },
    defaultContentType: "application/json",
    ...(options.servers === undefined ? {} : { servers: options.servers }),
    channels: {
      session: {
        address: null,
        messages: Object.fromEntries(
          Object.keys(messages).map((key) => [key, { $ref: `#/components/messages/${key}` }])
        )
      }
    },
    operations,
    components: { messages, schemas: components }
  }
}
