/**
 * docs/protocol.md is what people write clients from, so what it shows must be what the hub reads and says.
 */
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import * as HubEncoding from "@millrace/core/cluster/HubEncoding"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as Position from "@millrace/core/cluster/Position"
import * as Producers from "@millrace/core/cluster/Producers"
import { Publication } from "@millrace/core/cluster/Publication"
import * as Prepared from "@millrace/core/connection/Prepared"

const text = readFileSync(new URL("../../docs/protocol.md", import.meta.url), "utf8")

const section = (title: string) => {
  const [, rest = ""] = text.split(new RegExp(`^#+ ${title}\\n`, "m"))
  return rest.split(/^#/m)[0] ?? ""
}

const examples = (title: string) =>
  section(title)
    .split("\n")
    .filter((line) => line.startsWith("{"))

/** First cells of the rows of a section's table, without the quotes. */
const listed = (title: string) =>
  [...(section(title).split(/^\| -.*\n/m)[1] ?? "").matchAll(/^\| `([a-z-]+)`/gm)].map((match) => match[1] ?? "")

const typed = [...text.matchAll(/^> (.*)$/gm)].map((match) => match[1] ?? "")
const received = [...text.matchAll(/^< (.*)$/gm)].map((match) => match[1] ?? "")

const encode = (line: string) => {
  const message = JSON.parse(line)
  if (message.type !== "message") return HubMessage.encode(message)
  const { position, ...printed } = { ...message, dataJson: HubMessage.toJson(message.data) }
  const text = Prepared.make(HubMessage.encodeMessage(printed))
  const written = new Publication(message.topic, text, Position.parse(position)).encodedBy(HubEncoding.withPosition)
  return new TextDecoder().decode(written?.message.bytes)
}

describe("docs/protocol.md", () => {
  it("shows only messages that the hub accepts", () => {
    const lines = [...typed, ...examples("What a client sends")]
    expect(lines.length).toBeGreaterThanOrEqual(6)
    for (const line of lines) expect([line, Result.isSuccess(HubMessage.decode(line))]).toEqual([line, true])
  })

  it("shows each message that a client may send, and no other", () => {
    const types = examples("What a client sends").map((line) => JSON.parse(line).type)
    expect(types).toEqual(listed("What a client sends"))
    expect(types.toSorted()).toEqual(["ping", "presence", "publish", "subscribe", "unsubscribe"])
  })

  it("shows what the hub says as the hub prints it", () => {
    const lines = [...received, ...examples("What the hub sends")]
    expect(lines.length).toBeGreaterThanOrEqual(17)
    for (const line of lines) expect(encode(line)).toBe(line)
  })

  it("shows each message that the hub sends, and no other", () => {
    const types: { readonly [type in HubMessage.ServerMessage["type"] | "message"]: true } = {
      welcome: true,
      subscribed: true,
      unsubscribed: true,
      published: true,
      message: true,
      gap: true,
      position: true,
      moved: true,
      present: true,
      joined: true,
      updated: true,
      left: true,
      pong: true,
      error: true
    }
    expect(listed("What the hub sends")).toEqual(Object.keys(types))
    expect(examples("What the hub sends").map((line) => JSON.parse(line).type)).toEqual(Object.keys(types))
  })

  it("lists every error code, and no other", () => {
    const codes: { readonly [code in HubMessage.ErrorCode]: true } = {
      "bad-json": true,
      "bad-message": true,
      "unknown-type": true,
      "bad-topic": true,
      "too-many-topics": true,
      "too-deep": true,
      forbidden: true,
      "stale-key": true,
      "too-large": true,
      "no-presence": true,
      refused: true,
      binary: true,
      unavailable: true
    }
    expect(listed("Errors").toSorted()).toEqual(Object.keys(codes).toSorted())
  })

  it("states the limits as they are", () => {
    expect(section("Your name")).toContain(`1 to ${HubMessage.maxNameLength} characters`)
    expect(section("Your name")).toContain(`"from":"${HubMessage.httpClient}"`)
    expect(section("Topics")).toContain(`1 to ${HubMessage.maxTopicBytes} bytes`)
    expect(section("Topics")).toContain(`subscribed to ${HubMessage.maxTopics} topics`)
    expect(section("What a client sends")).toContain(`at most ${HubMessage.maxIdLength} characters`)
    expect(section("Coming back")).toContain(`at most ${HubMessage.maxPositionLength} characters`)
    expect(section("Once")).toContain(`1 to ${HubMessage.maxProducerBytes} bytes`)
    expect(section("Once")).toContain(`known for ${Producers.defaults.window / 60_000} minutes`)
    expect(section("Once")).toContain(`the last ${Producers.maxSequences.toLocaleString("en")} of`)
    expect(section("Errors")).toContain(`more than ${HubMessage.maxDepth} deep`)
    expect(section("Errors")).toContain(`the ${HubMessage.maxTopics + 1}th topic`)
    expect(section("The WebSocket")).toContain(`\`${HubMessage.subprotocol}\``)
    expect(text).toContain(`**protocol ${HubMessage.protocol}**`)
  })
})
