/** Contracts: what they are made of, how they are put together, and what tells them apart. */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as v from "valibot"
import { describe, expect, expectTypeOf, it } from "vitest"
import * as z from "zod"
import type * as Coder from "@millrace/core/messaging/Coder"
import * as Contract from "@millrace/core/messaging/Contract"
import { shapes } from "../../support/schemas.ts"

class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", { name: Schema.String }) {}

const Said = Schema.Struct({ from: Schema.String, text: Schema.String, at: Schema.Date })
const Line = Schema.Struct({ text: Schema.String })

const Chat = Contract.make("chat", {
  version: "2",
  credentials: Schema.Redacted(Schema.String),
  events: { said: Said },
  commands: { say: Line },
  requests: {
    rename: { payload: Schema.String, error: NameTaken, idempotent: true },
    count: { success: Schema.Finite }
  },
  streams: { history: { payload: Schema.Date, element: Said } },
  serverRequests: { where: { success: Schema.Option(Schema.String) } },
  serverStreams: { keys: { element: Schema.String } }
})

/** The wire of a value, and the value of that. */
const there = (coder: Coder.Coder<unknown> | undefined, value: unknown) => {
  if (coder === undefined) throw new Error("no such thing is said")
  const wire = Result.getOrThrow(coder.encode(value as never))
  return [wire, Result.getOrThrow(coder.decode(wire))]
}

const said = (role: Contract.Role, name: string, of: Contract.Contract = Chat) => of.says[role].get(name)

describe("a contract", () => {
  it("has what each end says, by name, each kind as it is", () => {
    const kinds = (role: Contract.Role) => [...Chat.says[role].values()].map(({ _tag, name }) => `${_tag} ${name}`)
    expect(kinds("client")).toEqual(["Message say", "Request rename", "Request count", "Stream history"])
    expect(kinds("server")).toEqual(["Message said", "Request where", "Stream keys"])
    expect([Chat.name, Chat.version]).toEqual(["chat", "2"])
  })

  it("encodes and decodes each by its schema, and what has none as nothing", () => {
    const at = new Date(0)
    const message = { from: "ada", text: "hello", at }
    const wire = { ...message, at: at.toISOString() }
    expect(there(said("server", "said")?.payload, message)).toEqual([wire, message])
    const history = said("client", "history")
    expect(there(history?.payload, at)).toEqual([at.toISOString(), at])
    expect(history?._tag === "Stream" && there(history.element, message)).toEqual([wire, message])
    expect(history?._tag === "Stream" && Result.isFailure(history.error.decode({}))).toBe(true)
    const rename = said("client", "rename")
    expect(rename?._tag === "Request" && there(rename.success, undefined)).toEqual([null, undefined])
    expect(rename?._tag === "Request" && there(rename.error, new NameTaken({ name: "ada" }))[1]).toBeInstanceOf(
      NameTaken
    )
    expect(there(said("client", "count")?.payload, undefined)).toEqual([null, undefined])
    const [wireOfToken, token] = there(Chat.credentials, Redacted.make("secret"))
    expect([wireOfToken, String(token)]).toEqual(["secret", "<redacted>"])
  })

  it("says which requests may be asked again", () => {
    const idempotent = ["rename", "count"].map((name) => {
      const coder = said("client", name)
      return coder?._tag === "Request" && coder.idempotent
    })
    expect(idempotent).toEqual([true, false])
  })

  it("may be empty, and then has version 1, and a client that says nothing of itself", () => {
    const empty = Contract.make("empty", {})
    expect([empty.version, empty.says.client.size, empty.says.server.size]).toEqual(["1", 0, 0])
    expect(there(empty.credentials, undefined)).toEqual([null, undefined])
  })

  it("takes schemas of Effect's, of zod and of valibot side by side", () => {
    const mixed = Contract.make("mixed", {
      commands: { zod: z.object({ n: z.coerce.number() }), valibot: v.object({ n: v.number() }), effect: Schema.BigInt }
    })
    expect(there(said("client", "zod", mixed)?.payload, { n: "1" })).toEqual([{ n: "1" }, { n: 1 }])
    expect(there(said("client", "valibot", mixed)?.payload, { n: 1 })).toEqual([{ n: 1 }, { n: 1 }])
    expect(there(said("client", "effect", mixed)?.payload, 1n)).toEqual(["1", 1n])
  })

  it("takes a schema of Effect's as a Standard Schema where it is made one", () => {
    const standard = Contract.fromStandard("standard", {
      commands: { at: Schema.toStandardSchemaV1(Schema.DateFromString) }
    })
    const at = new Date(0)
    expect(there(said("client", "at", standard)?.payload, at.toISOString())).toEqual([at.toISOString(), at])
  })
})

describe("a name", () => {
  const parts = ["events", "commands", "requests", "streams", "serverRequests", "serverStreams"] as const

  it.each(["", "__proto__", "constructor", "prototype"])("is not %j, in any part", (name) => {
    for (const part of parts) {
      const definition = { [part]: { [name]: part.endsWith("treams") ? { element: Line } : {} } }
      expect(() => Contract.make("wrong", definition)).toThrow(new TypeError(`${JSON.stringify(name)} is no name`))
      expect(() => Contract.fromStandard("wrong", definition)).toThrow(TypeError)
    }
  })

  it("is not `__proto__` by a literal either, which would make a prototype of the schema", () => {
    expect(() => Contract.make("wrong", { events: { __proto__: Line } as never })).toThrow('"__proto__" is no name')
  })

  it("has one meaning at each end, and may have another at the other", () => {
    const twice = { commands: { say: Line }, streams: { say: { element: Line } } }
    expect(() => Contract.make("wrong", twice)).toThrow(new TypeError('"say" is there twice'))
    const server = { serverRequests: { say: {} }, serverStreams: { say: { element: Line } } }
    expect(() => Contract.make("wrong", server)).toThrow(TypeError)
    expect(Contract.make("right", { commands: { say: Line }, events: { say: Line } }).says.server.has("say")).toBe(true)
  })

  it("may be one of `Object.prototype`: names are looked up in a map", () => {
    const odd = Contract.make("odd", { commands: { toString: Line, valueOf: Line } })
    expect([...odd.says.client.keys()]).toEqual(["toString", "valueOf"])
    expect(Chat.says.client.get("toString")).toBe(undefined)
  })

  it("of a field is refused when the contract is made, not when a message is", () => {
    const events = { wrong: Schema.Struct({ inside: Schema.Struct({ ["__proto__"]: Schema.String }) }) }
    expect(() => Contract.make("wrong", { events })).toThrow(new TypeError('"__proto__" is no name for a field'))
  })
})

describe("a word of a definition", () => {
  it.each([
    ["command", { commands: {}, command: { say: Line } }],
    ["idempotant", { requests: { pay: { payload: Line, idempotant: true } } }],
    ["sucess", { serverRequests: { where: { sucess: Line } } }],
    ["credit", { streams: { all: { element: Line, credit: 5 } } }],
    ["idempotent", { serverStreams: { all: { element: Line, idempotent: true } } }]
  ])("that is none is refused, and not ignored: %s", (word, definition) => {
    for (const make of [Contract.make, Contract.fromStandard]) {
      expect(() => make("wrong", definition as never)).toThrow(`${JSON.stringify(word)} is none of `)
    }
  })
})

describe("two contracts", () => {
  const Games = Contract.make("games", {
    version: "7",
    events: { moved: Schema.Finite },
    requests: { join: { payload: Schema.String, success: Schema.Finite } }
  })

  it("merge into one that says what both say, with the name and version of the first", () => {
    const both = Contract.merge(Chat, Games)
    expect([both.name, both.version]).toEqual(["chat", "2"])
    expect([...both.says.client.keys()]).toEqual(["say", "rename", "count", "history", "join"])
    expect([...both.says.server.keys()]).toEqual(["said", "where", "keys", "moved"])
    expect(Object.keys(both.definition.events)).toEqual(["said", "moved"])
    expect(said("client", "join", both)).toBe(said("client", "join", Games))
    expectTypeOf(both.definition.requests.join.payload).toEqualTypeOf<Schema.String>()
    expectTypeOf<Contract.ServerSays<typeof both.definition>["messages"]["said"]>().toEqualTypeOf<typeof Said>()
  })

  it("have the credentials of whichever has some", () => {
    expect(Contract.merge(Chat, Games).credentials).toBe(Chat.credentials)
    expect(Contract.merge(Games, Chat).credentials).toBe(Chat.credentials)
    expectTypeOf<Contract.Credentials<Contract.Merge<{}, { readonly credentials: typeof Line }>>>().toEqualTypeOf<
      typeof Line
    >()
    const inside = Contract.merge(Contract.namespace(Games, "games"), Contract.namespace(Chat, "chat"))
    expect(inside.credentials).toBe(Chat.credentials)
    expectTypeOf<Contract.Credentials<typeof inside.definition>>().toEqualTypeOf<
      Schema.Redacted<typeof Schema.String>
    >()
  })

  it("do not merge when they have a name in common, unless they are in namespaces", () => {
    expect(() => Contract.merge(Games, Games)).toThrow(new TypeError('"join" is there twice'))
    const both = Contract.merge(Contract.namespace(Games, "a"), Contract.namespace(Games, "b"))
    expect([...both.says.client.keys()]).toEqual(["a.join", "b.join"])
    expect([...both.says.server.keys()]).toEqual(["a.moved", "b.moved"])
    expect(both.definition.requests["b.join"].success).toBe(Schema.Finite)
    expectTypeOf(both.definition.requests["a.join"].payload).toEqualTypeOf<Schema.String>()
    // @ts-expect-error: it has another name in there
    expect(both.definition.requests.join).toBe(undefined)
  })

  it("in a namespace are what they were, but for the names", () => {
    const chat = Contract.namespace(Chat, "chat")
    expect(chat.credentials).toBe(Chat.credentials)
    expect(said("client", "chat.rename", chat)).toEqual({ ...said("client", "rename"), name: "chat.rename" })
    for (const wrong of ["", "__proto__"]) expect(() => Contract.namespace(Chat, wrong)).toThrow(TypeError)
  })
})

describe("the types of a contract", () => {
  type Definition = (typeof Chat)["definition"]

  it("are what each end says", () => {
    expectTypeOf<keyof Contract.ClientSays<Definition>["messages"]>().toEqualTypeOf<"say">()
    expectTypeOf<keyof Contract.ClientSays<Definition>["requests"]>().toEqualTypeOf<"rename" | "count">()
    expectTypeOf<keyof Contract.ServerSays<Definition>["messages"]>().toEqualTypeOf<"said">()
    expectTypeOf<keyof Contract.ServerSays<Definition>["streams"]>().toEqualTypeOf<"keys">()
    expectTypeOf<keyof Contract.ServerSays<{}>["messages"]>().toEqualTypeOf<never>()
  })

  it("are the same at both ends for a schema of Effect's, and input and output for a Standard Schema", () => {
    expectTypeOf<Contract.Sent<typeof Schema.Date>>().toEqualTypeOf<Date>()
    expectTypeOf<Contract.Received<typeof Schema.Date>>().toEqualTypeOf<Date>()
    const length = z.string().transform((text) => text.length)
    expectTypeOf<Contract.Sent<typeof length>>().toEqualTypeOf<string>()
    expectTypeOf<Contract.Received<typeof length>>().toEqualTypeOf<number>()
  })

  it("refuse what is no schema, what needs a service, and what is no part of a contract", () => {
    // @ts-expect-error: no schema
    expect(() => Contract.make("wrong", { events: { said: String } })).toThrow()
    // @ts-expect-error: a stream has elements
    Contract.make("wrong", { streams: { history: { payload: Line } } })
    const Needy = Line as unknown as Schema.Codec<string, string, "a service">
    // @ts-expect-error: a message waits for no service
    Contract.make("wrong", { events: { said: Needy } })
    expectTypeOf<Contract.Contract<{ readonly events: {} }>>().toExtend<Contract.Contract>()
  })
})

const hashOf = (definition: Contract.Definition, name = "chat") => Contract.make(name, definition).hash

describe("the hash of a contract", () => {
  const requests = { ask: { payload: Line, success: Schema.Finite, error: NameTaken } }
  const base = { version: "1", commands: { say: Line }, events: { said: Said }, requests }

  it("is twelve characters that are those of any equal contract", () => {
    expect(hashOf(base)).toMatch(/^[\w+/]{12}$/)
    expect(hashOf({ ...base, commands: { say: Schema.Struct({ text: Schema.String }) } })).toBe(hashOf(base))
  })

  it("is the same in whatever order names and fields are written", () => {
    const at = Schema.Date
    const one = { commands: { a: Line, b: Said }, requests: { c: {}, d: {} } }
    const other = {
      requests: { d: {}, c: {} },
      commands: { b: Schema.Struct({ at, text: Schema.String, from: Schema.String }), a: Line }
    }
    expect(hashOf(one)).toBe(hashOf(other))
  })

  it.each<readonly [string, Contract.Definition]>([
    ["version", { ...base, version: "2" }],
    ["name of a message", { ...base, commands: { tell: Line } }],
    ["payload", { ...base, commands: { say: Said } }],
    [
      "field that may be missing",
      { ...base, commands: { say: Schema.Struct({ text: Schema.optionalKey(Schema.String) }) } }
    ],
    ["kind of thing", { ...base, commands: {}, requests: { ...requests, say: { payload: Line } } }],
    ["end", { ...base, commands: {}, events: { ...base.events, say: Line } }],
    ["answer", { ...base, requests: { ask: { ...requests.ask, success: Schema.String } } }],
    ["error", { ...base, requests: { ask: { ...requests.ask, error: undefined } } }],
    ["way of asking again", { ...base, requests: { ask: { ...requests.ask, idempotent: true } } }],
    ["credentials", { ...base, credentials: Schema.String }],
    ["library", { ...base, commands: { say: z.object({ text: z.string() }) } }]
  ])("is another for another %s", (_, definition) => {
    expect(hashOf(definition)).not.toBe(hashOf(base))
  })

  it("is another for another name of the contract, and in a namespace", () => {
    expect(hashOf(base, "talk")).not.toBe(hashOf(base))
    expect(Contract.namespace(Contract.make("chat", base), "a").hash).not.toBe(hashOf(base))
  })

  it("of a merged contract is that of one that was made so", () => {
    const merged = Contract.merge(Contract.make("chat", { commands: { say: Line } }), Contract.make("x", { requests }))
    expect(merged.hash).toBe(hashOf({ requests, commands: { say: Line } }))
  })

  it("is the same in another order, for any schemas", () => {
    fc.assert(
      fc.property(fc.array(shapes, { minLength: 1, maxLength: 3 }), (all) => {
        const commands = all.map(({ schema }, i) => [`say${i}`, schema] as const)
        const others = all.map(({ reordered }, i) => [`say${i}`, reordered] as const).toReversed()
        expect(hashOf({ commands: Object.fromEntries(others) })).toBe(
          hashOf({ commands: Object.fromEntries(commands) })
        )
      }),
      { numRuns: 100 }
    )
  })
})
