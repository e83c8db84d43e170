import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import type { Key } from "@millrace/core/cluster/Parcel"

/** Names that trip up code which keeps them as keys of an object, or which looks for them in text. */
const trap = fc.constantFrom(
  "key",
  "__proto__",
  "constructor",
  "toString",
  "type",
  "topic",
  "data",
  "id",
  '"data":',
  "\\"
)

const topic = fc
  .oneof(fc.string({ unit: "binary", minLength: 1, maxLength: 40 }), trap)
  .filter((text) => HubMessage.isTopic(text))

const id = fc.option(fc.oneof(fc.string({ unit: "binary", maxLength: 64 }), fc.maxSafeInteger()), { nil: undefined })

const key: fc.Arbitrary<Key | undefined> = fc.option(
  fc.record(
    {
      producer: fc.string({ unit: "binary", maxLength: 60 }).filter(HubMessage.isProducer),
      epoch: fc.maxSafeNat(),
      sequence: fc.maxSafeNat()
    },
    { noNullPrototype: true }
  ),
  { nil: undefined }
)

/** Any JSON text, with space where the grammar allows it and with names spelled in escapes. */
const json: fc.Arbitrary<string> = fc.oneof(
  fc.json({ maxDepth: 6 }),
  fc.json({ maxDepth: 6 }).map((text) => JSON.stringify(JSON.parse(text), undefined, "\t")),
  fc.integer().map((n) => `${n}.50e400`),
  fc.bigInt().map(String),
  fc.dictionary(fc.oneof(trap, fc.string()), fc.jsonValue(), { noNullPrototype: true }).map((o) => JSON.stringify(o))
)

const space = fc.string({ unit: fc.constantFrom(" ", "\t", "\n", "\r"), maxLength: 3 })

/** A JSON string with every character as an escape. */
const escaped = (text: string) =>
  `"${Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")}"`

const name = (text: string) => fc.constantFrom(JSON.stringify(text), escaped(text))

/** Members in any order, with strangers between them and space around every token. */
const object = (members: ReadonlyArray<readonly [name: string, json: string]>) =>
  fc
    .tuple(
      fc.array(
        fc.tuple(
          fc
            .string()
            .filter(
              (text) => !["type", "topic", "data", "id", "key", "echo", "position", "presence", "info"].includes(text)
            ),
          json
        ),
        { maxLength: 3 }
      ),
      fc.array(space, { minLength: 4, maxLength: 4 })
    )
    .chain(([strangers, [a = "", b = "", c = "", d = ""]]) => {
      const all = [...members, ...strangers]
      return fc
        .tuple(
          fc.shuffledSubarray(all, { minLength: all.length }),
          fc.tuple(...all.map(([text]) => name(text).map((spelled) => [text, spelled] as const)))
        )
        .map(([shuffled, spellings]) => {
          const spelling = new Map(spellings)
          return `${a}{${shuffled.map(([text, value]) => `${b}${spelling.get(text)}${c}:${d}${value}${a}`).join(",")}}${c}`
        })
    })

const oneLine = (text: string) => text.trim().replaceAll(/[\t\n\r]/g, " ")

describe("HubMessage", () => {
  it("gives a message or a refusal for any string, never an exception", () => {
    const almost = fc.tuple(json, fc.nat(), fc.string({ maxLength: 3 })).map(([text, at, noise]) => {
      const whole = `{"type":"publish","topic":"t","data":${text}}`
      const cut = at % (whole.length + 1)
      return whole.slice(0, cut) + noise + whole.slice(cut + noise.length)
    })
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary", maxLength: 100 }), json, almost), (text) => {
        for (const decoded of [HubMessage.decode(text), HubMessage.decodePublish(text)]) {
          if (Result.isFailure(decoded)) {
            expect(JSON.parse(HubMessage.encode(decoded.failure))).toEqual(decoded.failure)
          } else if (decoded.success._tag === "Publish") {
            expect(JSON.parse(decoded.success.dataJson)).toEqual(JSON.parse(text).data)
          }
        }
      }),
      { numRuns: 2000 }
    )
  })

  it("reads a publish however it is laid out, and carries its data through unchanged", () => {
    const publish = fc.record({ topic, id, data: json, key, echo: fc.boolean() }).chain((expected) =>
      object([
        ["key", JSON.stringify(expected.key) ?? "null"],
        ["echo", `${expected.echo}`],
        ["type", '"publish"'],
        ["topic", JSON.stringify(expected.topic)],
        ["data", expected.data],
        ["id", JSON.stringify(expected.id) ?? "null"]
      ]).map((text) => ({ text, expected }))
    )
    fc.assert(
      fc.property(publish, fc.string(), fc.nat(), ({ text, expected }, from, time) => {
        const message = {
          _tag: "Publish",
          topic: expected.topic,
          dataJson: oneLine(expected.data),
          key: expected.key,
          echo: expected.echo
        } as const
        expect(HubMessage.decode(text)).toEqual(Result.succeed({ ...message, id: expected.id }))
        expect(HubMessage.decodePublish(text)).toEqual(Result.succeed({ ...message, id: undefined }))

        const decoded = Result.getOrThrow(HubMessage.decodePublish(text))
        const sent = HubMessage.encodeMessage({ topic: expected.topic, dataJson: decoded.dataJson, from, time })
        expect(sent).not.toMatch(/[\t\n\r]/)
        expect(sent).toContain(`"data":${message.dataJson},`)
        expect(JSON.parse(sent)).toEqual({
          type: "message",
          topic: expected.topic,
          data: JSON.parse(expected.data),
          from,
          time
        })
      }),
      { numRuns: 1000 }
    )
  })

  it("reads the info of a subscribe however it is laid out, and carries it through unchanged", () => {
    const presence = fc.oneof(
      fc.constantFrom("null", "false").map((text) => ({ text, expected: undefined })),
      object([]).map((text) => ({ text, expected: { info: undefined } })),
      json.chain((info) =>
        object([["info", info]]).map((text) => ({ text, expected: { info: oneLine(info) as HubMessage.JsonText } }))
      )
    )
    const subscribe = fc.record({ topic, id, presence }).chain(({ id, presence: { expected, text }, topic }) =>
      object([
        ["type", '"subscribe"'],
        ["topic", JSON.stringify(topic)],
        ["presence", text],
        ["id", JSON.stringify(id) ?? "null"]
      ]).map((text) => ({ text, message: { _tag: "Subscribe", topic, position: undefined, presence: expected, id } }))
    )
    fc.assert(
      fc.property(subscribe, ({ message, text }) => {
        expect(HubMessage.decode(text)).toEqual(Result.succeed(message))
      }),
      { numRuns: 1000 }
    )
  })

  it("prints answers that parse to what was said", () => {
    const answer: fc.Arbitrary<HubMessage.ServerMessage> = fc.oneof(
      fc.record({ type: fc.constant("welcome" as const), client: fc.string(), protocol: fc.constant(1 as const) }),
      fc.record({ type: fc.constantFrom("subscribed" as const, "unsubscribed" as const), topic, id }),
      fc.record({ type: fc.constant("published" as const), topic, id: fc.maxSafeInteger(), receivers: fc.nat() }),
      fc.record({ type: fc.constant("pong" as const), id }),
      fc.tuple(fc.constantFrom("binary" as const, "bad-topic" as const), id).map(([c, i]) => HubMessage.refuse(c, i))
    )
    fc.assert(
      fc.property(answer, (message) => {
        const { id, ...rest } = { id: undefined, ...message }
        expect(JSON.parse(HubMessage.encode(message))).toEqual(id === undefined ? rest : { ...rest, id })
      })
    )
  })

  it("counts topics as UTF-8 does", () => {
    const encoder = new TextEncoder()
    const text = fc.string({ unit: "binary", minLength: 60, maxLength: 260 })
    fc.assert(
      fc.property(text, (text) => {
        const plain = text.replaceAll(/[\p{Cc}$]/gu, "_")
        expect(HubMessage.isTopic(plain)).toBe(encoder.encode(plain).length <= HubMessage.maxTopicBytes)
        expect(HubMessage.isTopic(text)).toBe(
          encoder.encode(text).length <= HubMessage.maxTopicBytes && !/^\$|\p{Cc}/u.test(text)
        )
      })
    )
  })
})
