/**
 * docs/session-protocol.md is what people write the other end from, so what it shows must be what our end reads and says.
 */
import { spawnSync } from "node:child_process"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Limits from "@millrace/core/connection/Limits"
import * as JsonCodec from "@millrace/core/messaging/JsonCodec"
import * as MessageCodec from "@millrace/core/messaging/MessageCodec"
import * as MessagePackCodec from "@millrace/core/messaging/MessagePackCodec"
import * as Packet from "@millrace/core/messaging/Packet"
import { SessionCode } from "@millrace/core/messaging/SessionCode"
import * as SessionLimits from "@millrace/core/messaging/SessionLimits"
import * as WireValue from "@millrace/core/codec/WireValue"
import * as Message from "@millrace/core/protocol/Message"
import * as Markdown from "../support/markdown.ts"
import { hex } from "../support/wire.ts"

const page = Markdown.pages().find(({ name }) => name === "docs/session-protocol.md")!
const { text } = page

/** Under a heading of the second level, with what is under those below it. */
const section = (title: string) => text.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? ""

const rows = (title: string) => Markdown.rows(text, title)

const codes = (language: string) =>
  Markdown.blocks(page).flatMap((block) => (block.language === language ? [block.code] : []))

/** The bytes of a block, which may be on several lines. */
const shown = codes("hex").map((code) => hex(code.replaceAll("\n", " ")))

const kib = (bytes: number) => `${bytes / 1_024} KiB`

const image = ["emit", "draw", { image: hex("ff d8") }]

const read = (line: string) => Result.getOrThrow(MessageCodec.read(JsonCodec.json, Message.text(line)))
const again = (line: string) => MessageCodec.write(JsonCodec.json, read(line))

describe("docs/session-protocol.md", () => {
  it("shows a conversation of packets as our end prints them", () => {
    const lines = [...section("A first conversation").matchAll(/^[<>] (.*)$/gm)].map(([, line = ""]) => line)
    expect(lines.length).toBeGreaterThan(10)
    for (const line of lines) expect(again(line)).toBe(line)
    expect(lines.slice(0, 2).map((line) => read(line)._tag)).toEqual(["Hello", "Welcome"])
  })

  it("shows one packet of each kind, in the order of its table, and no other", () => {
    const tags: { readonly [tag in Packet.Packet["_tag"]]: true } = {
      Hello: true,
      Welcome: true,
      Emit: true,
      Ask: true,
      Open: true,
      Ok: true,
      Items: true,
      More: true,
      End: true,
      Err: true,
      Fail: true,
      Cancel: true,
      Ping: true,
      Pong: true
    }
    const lines = codes("jsonl")[0]!.trim().split("\n")
    for (const line of lines) expect(again(line)).toBe(line)
    expect(lines.map((line) => read(line)._tag)).toEqual(Object.keys(tags))
    const listed = rows("Packets").map(([packet = ""]) => /^`\["([a-z]+)"/.exec(packet)?.[1])
    expect(listed).toEqual(lines.map((line) => JSON.parse(line)[0]))
  })

  it("shows packets with bytes as both codecs write and read them", () => {
    const [envelope, ask, packed] = shown
    expect(JsonCodec.json.encode(image)).toEqual(envelope)
    expect(Result.getOrThrow(JsonCodec.json.decode(Message.binary(envelope!)))).toEqual(image)
    expect(Array.from(MessagePackCodec.messagePack.encode(image) as Uint8Array)).toEqual(Array.from(packed!))
    expect(Result.getOrThrow(MessagePackCodec.messagePack.decode(Message.binary(packed!)))).toEqual(image)
    const rename = ["ask", 1, "rename", "Grace"]
    expect(Array.from(MessagePackCodec.messagePack.encode(rename) as Uint8Array)).toEqual(Array.from(ask!))
    expect(text).toContain(`\`${JSON.stringify(rename)}\``)
  })

  it("shows the JSON that is in the envelope", () => {
    const [envelope] = shown
    const json = new TextDecoder().decode(envelope!.subarray(4, -2))
    expect(codes("jsonl")[1]).toBe(`${json}\n`)
  })

  const isThere = spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status === 0

  it.skipIf(!isThere)(`reads an envelope in Python${isThere ? "" : ": NOT RUN, there is no python3"}`, () => {
    const unpack = codes("python").find((code) => code.includes("def unpack"))!
    const wire = ["emit", { a: [hex("01 02"), hex(""), { b: hex("ff") }], c: 1 }]
    const messages = [wire, hex("05")].map((wire) => Buffer.from(JsonCodec.json.encode(wire) as Uint8Array))
    const calls = messages.map((message) => `print(unpack(bytes.fromhex("${message.toString("hex")}")))`)
    const run = spawnSync("python3", ["-c", [unpack, ...calls, "print(unpack('[1]'))"].join("\n")], {
      encoding: "utf8"
    })
    expect(run.stderr).toBe("")
    expect(run.stdout).toBe(
      String.raw`['emit', {'a': [b'\x01\x02', b'', {'b': b'\xff'}], 'c': 1}]` + "\nb'\\x05'\n[1]\n"
    )
  })

  it("names the subprotocols", () => {
    const listed = rows("The subprotocol").map(([name]) => name)
    expect(listed).toEqual([`\`${JsonCodec.subprotocol}\``, `\`${MessagePackCodec.subprotocol}\``])
  })

  it("lists every code of a failure, and no other", () => {
    const failures: { readonly [code in Packet.FailCode]: true } = {
      unknown: true,
      invalid: true,
      defect: true,
      unavailable: true,
      conflict: true
    }
    expect(rows("Failures").map(([code]) => code)).toEqual(Object.keys(failures).map((code) => `\`${code}\``))
  })

  it("lists every close code, and no other", () => {
    expect(rows("Close codes").map(([code]) => Number(code))).toEqual(Object.values(SessionCode))
    const named = [...text.matchAll(/\b(4[45]\d\d)\b/g)].map(([, code]) => Number(code))
    for (const code of named) expect(Object.values(SessionCode)).toContain(code)
  })

  it("states the limits as they are", () => {
    const most = Object.fromEntries(rows("Limits").map(([what = "", most = ""]) => [what.split(" ")[0]!, most]))
    expect(rows("Limits").map(([, most]) => most?.split(",")[0])).toEqual([
      `${WireValue.defaultMaxDepth}`,
      `${Limits.defaults.maxMessageBytes / 1_048_576} MiB`,
      `${JsonCodec.defaults.maxAttachments}`,
      kib(SessionLimits.defaults.maxHelloBytes),
      "1"
    ])
    expect(most["credit"]).toBe(Packet.maxCredit.toLocaleString("en"))
    expect(section("Packets")).toContain(`at most ${Packet.maxCredit.toLocaleString("en")}`)
    expect(section("Packets")).toContain(`at most ${Packet.maxMetaLength} characters (UTF-16 units)`)
    expect(section("The order")).toContain(kib(SessionLimits.defaults.maxHelloBytes))
    expect(section("The order")).toContain(String(SessionLimits.defaults.helloTimeout))
    for (const name of ["__proto__", "constructor", "prototype"]) expect(section("Limits")).toContain(`\`${name}\``)
  })
})
