/** Contracts for other languages: that what is on the wire is what the documents say, and that they are well formed. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as v from "valibot"
import { describe, expect, it } from "vitest"
import * as z from "zod"
import * as Contract from "@millrace/core/messaging/Contract"
import * as ContractDocument from "@millrace/core/messaging/ContractDocument"
import * as Packet from "@millrace/core/messaging/Packet"
import { isValid, references, resolve } from "../../support/jsonSchema.ts"
import { shapesWithValues } from "../../support/schemas.ts"

/** What a document is to who reads it: JSON of which nothing is known. */
type Json = Readonly<Record<string, ReturnType<typeof JSON.parse>>>

class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", { name: Schema.String }) {}

interface Entry {
  readonly text: string
  readonly at: Date
  readonly picture?: Uint8Array
  readonly answers: ReadonlyArray<Entry>
}
const Entry: Schema.Codec<Entry, unknown> = Schema.Struct({
  text: Schema.String,
  at: Schema.Date,
  picture: Schema.optionalKey(Schema.Uint8Array),
  answers: Schema.Array(Schema.suspend((): Schema.Codec<Entry, unknown> => Entry))
}).annotate({ identifier: "Entry/1 ~" })

const Node: z.ZodType<unknown> = z.object({
  get children() {
    return z.array(Node)
  }
})

const Chat = Contract.make("chat", {
  version: "3",
  credentials: Schema.Redacted(Schema.String),
  events: { said: Entry },
  commands: {
    say: Schema.Struct({ text: Schema.String }),
    "näme with/slash": Schema.Tuple([Schema.String, Schema.Int])
  },
  requests: {
    rename: { payload: Schema.String, error: NameTaken, idempotent: true },
    zod: {
      payload: z.object({ born: z.string().transform((text) => new Date(text)) }),
      success: z.object({ tree: Node })
    },
    valibot: { payload: v.object({ a: v.string() }), success: z.string().transform(async (text) => text) }
  },
  streams: { history: { payload: Schema.Date, element: Entry, error: NameTaken }, "rename.success": { element: Node } },
  serverRequests: { where: { success: Schema.Option(Schema.String) } },
  serverStreams: { keys: { element: Schema.String } }
})

const entry: Entry = {
  text: "hello",
  at: new Date(0),
  answers: [{ text: "hi", at: new Date(1), picture: Uint8Array.of(1), answers: [] }]
}

const wireOf = (role: Contract.Role, name: string, value: unknown) => {
  const payload = Chat.says[role].get(name)?.payload
  return Result.getOrThrow(payload?.encode(value as never) ?? Result.succeed(undefined))
}

describe("the JSON Schema of a contract", () => {
  const document = ContractDocument.jsonSchema(Chat) as Json
  const is = (name: string, wire: unknown) => isValid(document, document["$defs"][name], wire)

  it("is one document of draft 2020-12, with the name and what tells it from others", () => {
    expect(document["$schema"]).toBe("https://json-schema.org/draft/2020-12/schema")
    expect([document["title"], document["$comment"]]).toEqual(["chat", `version 3, hash ${Chat.hash}`])
    expect(JSON.parse(JSON.stringify(document))).toEqual(document)
  })

  it("has a definition for each part, and none for errors that there are not", () => {
    const names = Object.keys(document["$defs"]).filter((name) =>
      /^(client|server)\..*\.[a-z]+$|credentials/.test(name)
    )
    expect(names.toSorted()).toEqual(
      [
        "client.credentials",
        "client.history.element",
        "client.history.error",
        "client.history.payload",
        "client.näme with/slash.payload",
        "client.rename.error",
        "client.rename.payload",
        "client.rename.success",
        "client.rename.success.element",
        "client.rename.success.payload",
        "client.say.payload",
        "client.valibot.payload",
        "client.valibot.success",
        "client.zod.payload",
        "client.zod.success",
        "server.keys.element",
        "server.keys.payload",
        "server.said.payload",
        "server.where.payload",
        "server.where.success"
      ].toSorted()
    )
  })

  it("says what is on the wire, and nothing else", () => {
    const wire = wireOf("server", "said", entry)
    expect(is("server.said.payload", wire)).toBe(true)
    expect(is("server.said.payload", { ...(wire as object), at: 0 })).toBe(false)
    expect(is("server.said.payload", { ...(wire as object), picture: "AQ==" })).toBe(false)
    expect(is("server.said.payload", { ...(wire as object), answers: [{}] })).toBe(false)
    expect(is("client.näme with/slash.payload", ["a", 1])).toBe(true)
    expect(is("client.näme with/slash.payload", ["a", "b"])).toBe(false)
    expect(is("client.rename.success", null)).toBe(true)
    expect(is("client.rename.success", {})).toBe(false)
    expect(is("client.rename.error", { _tag: "NameTaken", name: "ada" })).toBe(true)
    expect(is("client.rename.error", { _tag: "Other", name: "ada" })).toBe(false)
  })

  it("takes the words of a Standard Schema that has some for its input, and is true where there are none", () => {
    expect(is("client.zod.payload", { born: "1815-12-10" })).toBe(true)
    expect(is("client.zod.payload", { born: 1815 })).toBe(false)
    expect(is("client.zod.success", { tree: { children: [{ children: [] }] } })).toBe(true)
    expect(is("client.zod.success", { tree: { children: [{ children: [1] }] } })).toBe(false)
    expect(is("client.rename.success.element", { children: [{ children: [1] }] })).toBe(false)
    expect(document["$defs"]["client.valibot.payload"]).toBe(true)
  })

  it("has references that all lead somewhere", () => {
    expect(references(document).length).toBeGreaterThan(5)
    for (const reference of references(document)) expect(resolve(document, reference)).toBeDefined()
  })

  it("is true of any value of any schema", () => {
    fc.assert(
      fc.property(shapesWithValues, ([{ schema }, values]) => {
        const contract = Contract.make("any", { commands: { say: schema } })
        const any = ContractDocument.jsonSchema(contract) as Json
        for (const value of values) {
          const wire = Result.getOrThrow(contract.says.client.get("say")!.payload.encode(value as never))
          expect(isValid(any, any["$defs"]["client.say.payload"], wire)).toBe(true)
        }
      }),
      { numRuns: 200 }
    )
  })
})

/** What a list of references leads to. */
const keysOf = (list: ReadonlyArray<Json> = []) => list.map(({ $ref }) => ($ref as string).split("/").at(-1))

/** It has no fields but these, and extensions. */
const only = (object: Json, ...fields: ReadonlyArray<string>) =>
  expect(Object.keys(object).filter((key) => !key.startsWith("x-") && !fields.includes(key))).toEqual([])
const isKey = (key: string) => expect(key).toMatch(/^[a-zA-Z0-9._-]+$/)

describe("the AsyncAPI document of a contract", () => {
  const servers = { production: { host: "chat.example.com", protocol: "wss", pathname: "/chat" } }
  const document = ContractDocument.asyncApi(Chat, { title: "The chat", servers }) as Json
  const messages = document["components"].messages as Readonly<Record<string, Json>>
  const operations = document["operations"] as Readonly<Record<string, Json>>
  const says = (message: string, packet: Packet.Packet) =>
    isValid(document, messages[message]?.["payload"], Packet.print(packet))
  const operation = (key: string) => {
    const { action, messages: own, reply, ...more } = operations[key] ?? {}
    return [action, keysOf(own), keysOf(reply?.messages), more["x-millrace"]]
  }

  it("is of version 3.0.0, and says of what it is made", () => {
    const { asyncapi, info } = document
    expect(asyncapi).toBe("3.0.0")
    expect(info).toEqual({
      title: "The chat",
      version: "3",
      "x-millrace": { contract: "chat", version: "3", hash: Chat.hash }
    })
    expect((ContractDocument.asyncApi(Chat, { version: "9" }) as Json)["info"]).toMatchObject({
      title: "chat",
      version: "9"
    })
    expect(document["servers"]).toEqual(servers)
    expect(ContractDocument.asyncApi(Chat)).not.toHaveProperty("servers")
  })

  it("is formed as the rules of AsyncAPI say", () => {
    only(document, "asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components")
    only(document["channels"].session, "address", "messages")
    for (const [key, one] of Object.entries(operations)) {
      isKey(key)
      only(one, "action", "channel", "messages", "reply")
      expect(["send", "receive"]).toContain(one["action"])
      expect(resolve(document, one["channel"].$ref)).toBe(document["channels"].session)
      // What an operation or a reply refers to are messages of its channel, not those of the components.
      for (const part of [one, one["reply"] ?? one]) {
        expect(part.channel).toEqual({ $ref: "#/channels/session" })
        expect(part.messages.length).toBeGreaterThan(0)
        for (const { $ref } of part.messages) expect($ref).toMatch(/^#\/channels\/session\/messages\//)
      }
      if (one["reply"] !== undefined) only(one["reply"], "channel", "messages")
    }
    for (const [key, message] of Object.entries(messages)) {
      isKey(key)
      only(message, "name", "payload")
      expect(document["channels"].session.messages[key]).toEqual({ $ref: `#/components/messages/${key}` })
    }
    for (const key of Object.keys(document["components"].schemas)) isKey(key)
    for (const reference of references(document)) expect(resolve(document, reference)).toBeDefined()
    expect(JSON.parse(JSON.stringify(document))).toEqual(document)
  })

  it("has an operation for all that is said and asked, in both directions, as the server sees it", () => {
    expect(operation("server.said")).toEqual(["send", ["server.said"], [], { kind: "message" }])
    expect(operation("client.say")).toEqual(["receive", ["client.say"], [], { kind: "message" }])
    const cancel = [{ $ref: "#/channels/session/messages/cancel" }]
    expect(operation("client.rename")).toEqual([
      "receive",
      ["client.rename"],
      ["client.rename.success", "client.rename.error", "fail"],
      { kind: "request", idempotent: true, cancel }
    ])
    expect(operation("server.where").slice(0, 3)).toEqual(["send", ["server.where"], ["server.where.success", "fail"]])
    expect(operation("client.history")).toEqual([
      "receive",
      ["client.history"],
      ["client.history.element", "end", "client.history.error", "fail"],
      { kind: "stream", flow: [{ $ref: "#/channels/session/messages/more" }], cancel }
    ])
    expect(operation("hello").slice(0, 3)).toEqual(["receive", ["hello"], ["welcome"]])
    expect(Object.keys(operations).length).toBe(1 + 1 + 2 + 3 + 2 + 1 + 1)
  })

  it("has schemas in draft 07, which is what AsyncAPI has", () => {
    expect(JSON.stringify(document)).not.toMatch(/prefixItems|\$defs/)
    const pair = document["components"].schemas["client.n_me_with_slash.payload"]
    expect(isValid(document, pair, ["a", 1])).toBe(true)
    expect(isValid(document, pair, [1, "a"])).toBe(false)
  })

  it("gives another key to what would have the same: an answer, and a stream with the name of it", () => {
    expect(messages["client.rename.success"]?.["x-millrace"]).toEqual({ packet: "ok" })
    expect(messages["client.rename.success-2"]?.["x-millrace"]).toEqual({ packet: "open" })
    expect(Object.keys(messages)).toContain("client.n_me_with_slash")
  })

  it("describes the packets that a session sends", () => {
    const wire = wireOf("server", "said", entry)
    const emit = { _tag: "Emit", name: "said", payload: wire, meta: undefined } as const
    expect(says("server.said", emit)).toBe(true)
    expect(says("server.said", { ...emit, meta: { key: "k" } })).toBe(true)
    expect(says("server.said", { ...emit, name: "sad" })).toBe(false)
    expect(isValid(document, messages["server.said"]?.["payload"], ["emit", "said"])).toBe(false)
    expect(says("server.said", { ...emit, payload: {} })).toBe(false)
    const ask = { _tag: "Ask", id: 1, name: "rename", payload: "ada", meta: undefined } as const
    expect(says("client.rename", ask)).toBe(true)
    expect(says("client.rename", { ...ask, id: 0 })).toBe(false)
    expect(says("client.rename", { ...ask, payload: 1 })).toBe(false)
    expect(says("client.rename.error", { _tag: "Err", id: 1, error: { _tag: "NameTaken", name: "ada" } })).toBe(true)
    expect(says("client.rename.error", { _tag: "Err", id: 1, error: null })).toBe(false)
    const open = { _tag: "Open", id: 1, name: "history", payload: entry.at.toISOString(), credit: 3, meta: {} } as const
    expect(says("client.history", open)).toBe(true)
    expect(says("client.history", { ...open, credit: 0 })).toBe(false)
    expect(says("client.history.element", { _tag: "Items", id: 1, elements: [wire, wire] })).toBe(true)
    expect(says("client.history.element", { _tag: "Items", id: 1, elements: [] })).toBe(false)
    expect(says("client.history.element", { _tag: "Items", id: 1, elements: [wire, 1] })).toBe(false)
    const hello = { _tag: "Hello", contract: "chat", version: "3", hash: Chat.hash, credentials: "secret" } as const
    expect(says("hello", hello)).toBe(true)
    expect(says("hello", { ...hello, credentials: 1 })).toBe(false)
    expect(says("welcome", { ...hello, _tag: "Welcome", session: "a" })).toBe(true)
    expect(says("more", { _tag: "More", id: 1, credit: 1 })).toBe(true)
    expect(says("end", { _tag: "End", id: 1 })).toBe(true)
    expect(says("cancel", { _tag: "Cancel", id: 1 })).toBe(true)
    for (const code of ["unknown", "invalid", "defect", "unavailable", "conflict"] as const) {
      expect(says("fail", { _tag: "Fail", id: 1, code, detail: "" })).toBe(true)
    }
    expect(says("fail", { _tag: "End", id: 1 })).toBe(false)
  })
})
