/**
 * The subjects of the well-known suite for WebSocket implementations, section for section, against the process that
 * people would point it at: `millrace echo`. Where that suite accepts several behaviours, this accepts one.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { server, shared } from "../support/command.ts"
import { counting, encode, frame } from "../support/frames.ts"
import * as RawPeer from "../support/RawPeer.ts"
import { hex, utf8 } from "../support/wire.ts"

const echo = shared(server("echo"))

const [continuation, textual, binary, closing, ping, pong] = [0, 1, 2, 8, 9, 10] as const

type Payload = string | Uint8Array

const bytesOf = (payload: Payload) => (typeof payload === "string" ? utf8(payload) : payload)

/** A masked frame; `flags` in place of FIN alone. */
const masked = (opcode: number, payload: Payload = "", flags = 0x80): Uint8Array => {
  const bytes = encode(frame(opcode as 0, bytesOf(payload)), 0xa1b2c3d4)
  bytes[0] = flags | opcode
  return bytes
}

const part = (opcode: number, payload: Payload = "") => masked(opcode, payload, 0)

const status = (code: number, reason: Payload = "") =>
  Buffer.concat([Uint8Array.of(code >> 8, code & 255), bytesOf(reason)])

type Expected = readonly [opcode: number, payload: Payload]

/** A Close of the server's own, whose reason is its business. */
interface Refused {
  readonly code: number
}

const refused = (code: number): Refused => ({ code })

/** `chop`: bytes in each write. A case that does not end with a Close is closed with 1000. */
interface Case {
  readonly name: string
  readonly send: ReadonlyArray<Uint8Array>
  readonly expect: ReadonlyArray<Expected | Refused>
  readonly chop?: number
}

const shown = (payload: Payload) => {
  const bytes = Buffer.from(bytesOf(payload))
  return bytes.length > 60 ? `${bytes.length} bytes` : bytes.toString("latin1")
}

/** One after the other, so that each is a segment of its own. */
const writeChopped = (peer: RawPeer.RawPeer, bytes: Uint8Array, size: number) =>
  Effect.promise(async () => {
    for (let at = 0; at < bytes.length; at += size) {
      await new Promise((resolve) => peer.socket.write(bytes.subarray(at, at + size), resolve))
    }
  })

const run = ({ chop, expect, send }: Case) =>
  Effect.gen(function* () {
    const peer = yield* RawPeer.open(echo().port)
    const all = Buffer.concat(send)
    if (chop === undefined) peer.send(all)
    else yield* writeChopped(peer, all, chop)
    let closed = false
    for (const one of expect) {
      const { fin, opcode, payload, rsv } = yield* peer.frame
      if ("code" in one) {
        assert.deepStrictEqual([opcode, (payload[0]! << 8) | payload[1]!], [closing, one.code])
      } else {
        assert.deepStrictEqual([fin, rsv, opcode, shown(payload)], [true, 0, one[0], shown(one[1])])
        assert.strictEqual(Buffer.compare(payload, bytesOf(one[1])), 0)
      }
      closed = opcode === closing
    }
    if (!closed) {
      peer.sendFrame(closing, status(1000))
      assert.strictEqual(yield* peer.closeCode, 1000)
    }
    // The server ends the connection, and says nothing more.
    assert.strictEqual((yield* peer.rest).length, 0)
  })

const section = (name: string, cases: ReadonlyArray<Case>) =>
  describe(name, () => {
    it.live.each(cases.map((one) => [one.name, one] as const))("%s", ([, one]) => run(one))
  })

/** Each case as it is, and in writes of one byte. */
const alsoOctetwise = (cases: ReadonlyArray<Case>): ReadonlyArray<Case> =>
  cases.flatMap((one) => [one, { ...one, name: `${one.name}, octet by octet`, chop: 1 }])

const framing = (opcode: number): ReadonlyArray<Case> => {
  const kind = opcode === textual ? "text" : "binary"
  const of = (length: number) => (opcode === textual ? "*".repeat(length) : counting(length))
  const whole = (length: number): Case => ({
    name: `${kind} of ${length} bytes`,
    send: [masked(opcode, of(length))],
    expect: [[opcode, of(length)]]
  })
  return [
    ...alsoOctetwise([0, 125, 126, 127, 128].map(whole)),
    ...[65_535, 65_536].map(whole),
    { ...whole(65_536), name: `${kind} of 65536 bytes, 997 at a time`, chop: 997 }
  ]
}

section("1 framing", [textual, binary].flatMap(framing))

section("2 pings and pongs", [
  ...alsoOctetwise([
    { name: "a ping without payload", send: [masked(ping)], expect: [[pong, ""]] },
    { name: "a ping with text", send: [masked(ping, "Hello, world!")], expect: [[pong, "Hello, world!"]] },
    {
      name: "a ping with bytes that are no text",
      send: [masked(ping, hex("00 ff fe fd fc fb 00 ff"))],
      expect: [[pong, hex("00 ff fe fd fc fb 00 ff")]]
    },
    { name: "a ping of 125 bytes", send: [masked(ping, counting(125))], expect: [[pong, counting(125)]] },
    { name: "a ping of 126 bytes", send: [masked(ping, counting(126))], expect: [refused(1002)] },
    {
      name: "ten pings in a row, answered in order",
      send: Array.from({ length: 10 }, (_, i) => masked(ping, `ping ${i}`)),
      expect: Array.from({ length: 10 }, (_, i): Expected => [pong, `ping ${i}`])
    },
    {
      name: "pongs that nobody asked for, then a ping",
      send: [masked(pong), masked(pong, "unsolicited"), masked(ping, "asked")],
      expect: [[pong, "asked"]]
    }
  ])
])

section(
  "3 reserved bits",
  alsoOctetwise([
    ...[1, 2, 3, 4, 5, 6, 7].flatMap((rsv): ReadonlyArray<Case> => [
      {
        name: `RSV ${rsv} in text, behind a message and before a ping`,
        send: [masked(textual, "first"), masked(textual, "second", 0x80 | (rsv << 4)), masked(ping)],
        expect: [[textual, "first"], refused(1002)]
      },
      {
        name: `RSV ${rsv} in a continuation`,
        send: [part(textual, "first"), masked(continuation, "second", 0x80 | (rsv << 4))],
        expect: [refused(1002)]
      }
    ]),
    ...[binary, ping, pong, closing].map((opcode) => ({
      name: `RSV 4 in opcode ${opcode}`,
      send: [masked(opcode, opcode === closing ? status(1000) : "", 0xc0)],
      expect: [refused(1002)]
    }))
  ])
)

section(
  "4 opcodes",
  [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap((opcode): ReadonlyArray<Case> => [
    { name: `reserved opcode ${opcode}`, send: [masked(opcode)], expect: [refused(1002)] },
    {
      name: `reserved opcode ${opcode} with payload, behind a message and before a ping`,
      send: [masked(textual, "first"), masked(opcode, "reserved"), masked(ping)],
      expect: [[textual, "first"], refused(1002)]
    },
    {
      name: `reserved opcode ${opcode}, octet by octet`,
      send: [masked(textual, "first"), masked(opcode, "reserved")],
      expect: [[textual, "first"], refused(1002)],
      chop: 1
    }
  ])
)

const pieces = ["frag", "ment", "", "ed é", "", " end"]

section("5 fragmentation", [
  ...[ping, pong].map((opcode) => ({
    name: `opcode ${opcode} in fragments`,
    send: [part(opcode, "a"), masked(continuation, "b")],
    expect: [refused(1002)]
  })),
  { name: "a Close in fragments", send: [part(closing, status(1000))], expect: [refused(1002)] },
  ...alsoOctetwise([
    {
      name: "text in two",
      send: [part(textual, "frag"), masked(continuation, "ment")],
      expect: [[textual, "fragment"]]
    },
    {
      name: "binary in two",
      send: [part(binary, counting(3)), masked(continuation, hex("ff"))],
      expect: [[binary, Buffer.concat([counting(3), hex("ff")])]]
    },
    {
      name: "a ping between two",
      send: [part(textual, "frag"), masked(ping, "between"), masked(continuation, "ment")],
      expect: [
        [pong, "between"],
        [textual, "fragment"]
      ]
    },
    {
      name: "pings among many, some empty, and pongs",
      send: pieces.flatMap((piece, i) => [
        masked(i === 0 ? textual : continuation, piece, i === pieces.length - 1 ? 0x80 : 0),
        ...(i < pieces.length - 1 ? [masked(ping, `${i}`), masked(pong, "x")] : [])
      ]),
      expect: [...pieces.slice(1).map((_, i): Expected => [pong, `${i}`]), [textual, pieces.join("")]]
    },
    {
      name: "two messages in fragments, one behind the other",
      send: [part(textual, "a"), masked(continuation, "b"), part(binary, "c"), masked(continuation, "d")],
      expect: [
        [textual, "ab"],
        [binary, "cd"]
      ]
    },
    {
      name: "all empty",
      send: [part(textual), part(continuation), masked(continuation)],
      expect: [[textual, ""]]
    },
    ...[0, 0x80].flatMap((flags): ReadonlyArray<Case> => [
      {
        name: `a continuation of nothing, FIN ${flags >> 7}`,
        send: [masked(continuation, "non-continuation", flags), masked(textual, "second")],
        expect: [refused(1002)]
      },
      {
        name: `a continuation behind a whole message, FIN ${flags >> 7}`,
        send: [masked(textual, "first"), masked(continuation, "non-continuation", flags)],
        expect: [[textual, "first"], refused(1002)]
      },
      {
        name: `a continuation behind the last fragment, FIN ${flags >> 7}`,
        send: [part(textual, "fi"), masked(continuation, "rst"), masked(continuation, "non-continuation", flags)],
        expect: [[textual, "first"], refused(1002)]
      },
      {
        name: `a message inside another, FIN ${flags >> 7}`,
        send: [part(textual, "first"), masked(binary, "second", flags)],
        expect: [refused(1002)]
      }
    ])
  ])
])

const valid = [
  "Hello-µ@ßöäüàá-UTF-8!!",
  "κόσμε",
  "\u0000",
  "\u007f\u0080\u07ff\u0800\uffff",
  "\ud7ff\ue000\ufdd0\ufffd\ufffe\uffff",
  "\u{10000}\u{1fffe}\u{1ffff}\u{10ffff}",
  "\ufeffBOM"
]

/** What is valid, then what makes it wrong: at the last of these bytes, and no later, it is refused. */
const invalid: ReadonlyArray<readonly [name: string, bytes: string]> = [
  ["a continuation byte alone", "80"],
  ["the last continuation byte alone", "bf"],
  ["a character cut by another", "c3 61"],
  ["three bytes cut after two", "e2 82 61"],
  ["four bytes cut after three", "f0 9f 8c 61"],
  ["an overlong slash in two bytes", "c0"],
  ["an overlong character in two bytes", "c1"],
  ["an overlong slash in three bytes", "e0 80"],
  ["an overlong U+07FF", "e0 9f"],
  ["an overlong slash in four bytes", "f0 80"],
  ["an overlong U+FFFF", "f0 8f"],
  ["a first surrogate", "ed a0"],
  ["a last surrogate", "ed bf"],
  ["U+110000", "f4 90"],
  ["a lead byte beyond U+10FFFF", "f5"],
  ["five bytes", "f8"],
  ["six bytes", "fc"],
  ["FE", "fe"],
  ["FF", "ff"]
]

section("6 UTF-8", [
  ...alsoOctetwise([
    ...valid.map((text): Case => ({
      name: JSON.stringify(text),
      send: [masked(textual, text)],
      expect: [[textual, text]]
    })),
    ...valid.map((text): Case => {
      const bytes = utf8(text)
      return {
        name: `${JSON.stringify(text)} in fragments of one byte`,
        send: [...bytes].map((byte, i) =>
          masked(i === 0 ? textual : continuation, Uint8Array.of(byte), i === bytes.length - 1 ? 0x80 : 0)
        ),
        expect: [[textual, text]]
      }
    })
  ]),
  ...invalid.flatMap(([name, wrong]): ReadonlyArray<Case> => {
    const bytes = Buffer.concat([utf8("κόσμε 🌊"), hex(wrong)])
    return [
      {
        name: `${name}, behind a message`,
        send: [masked(textual, "first"), masked(textual, bytes)],
        expect: [[textual, "first"], refused(1007)]
      },
      { name: `${name}, in a fragment that is not the last`, send: [part(textual, bytes)], expect: [refused(1007)] },
      {
        name: `${name}, in the middle of a frame whose rest never comes`,
        send: [masked(textual, Buffer.concat([bytes, counting(200)])).subarray(0, 8 + bytes.length)],
        expect: [refused(1007)]
      },
      {
        name: `${name}, octet by octet, in the middle of a frame`,
        send: [masked(textual, Buffer.concat([bytes, counting(200)])).subarray(0, 8 + bytes.length)],
        expect: [refused(1007)],
        chop: 1
      }
    ]
  }),
  ...["c3", "e2 82", "f0 9f 8c"].flatMap((cut): ReadonlyArray<Case> => [
    { name: `text that ends within a character: ${cut}`, send: [masked(textual, hex(cut))], expect: [refused(1007)] },
    {
      name: `text whose last fragment is empty and ends within a character: ${cut}`,
      send: [part(textual, hex(cut)), masked(continuation)],
      expect: [refused(1007)]
    }
  ]),
  { name: "binary may be anything", send: [masked(binary, hex("ff c0 80"))], expect: [[binary, hex("ff c0 80")]] }
])

const legal = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
const illegal = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]

section("7 closing", [
  {
    name: "a message, then a Close in the same segment: the message is echoed first",
    send: [masked(textual, "last words"), masked(closing, status(1000))],
    expect: [
      [textual, "last words"],
      [closing, status(1000)]
    ]
  },
  {
    name: "256 KiB, then a Close",
    send: [masked(binary, counting(262_144)), masked(closing, status(1000, "bye"))],
    expect: [
      [binary, counting(262_144)],
      [closing, status(1000, "bye")]
    ]
  },
  ...alsoOctetwise([
    {
      name: "two Closes",
      send: [masked(closing, status(1000)), masked(closing, status(1001))],
      expect: [[closing, status(1000)]]
    },
    {
      name: "a ping behind the Close",
      send: [masked(closing, status(1000)), masked(ping, "too late")],
      expect: [[closing, status(1000)]]
    },
    {
      name: "text behind the Close, and what breaks the rules",
      send: [masked(closing, status(1000)), masked(textual, "too late"), masked(3)],
      expect: [[closing, status(1000)]]
    },
    {
      name: "a Close in the middle of a message",
      send: [part(textual, "never to end"), masked(closing, status(1000)), masked(continuation, "end")],
      expect: [[closing, status(1000)]]
    },
    {
      name: "pings, then a Close",
      send: [masked(ping, "1"), masked(ping, "2"), masked(closing, status(1000))],
      expect: [
        [pong, "1"],
        [pong, "2"],
        [closing, status(1000)]
      ]
    },
    { name: "a Close without a body", send: [masked(closing)], expect: [[closing, ""]] },
    { name: "a body of one byte", send: [masked(closing, hex("03"))], expect: [refused(1002)] },
    { name: "a reason", send: [masked(closing, status(1000, "é 🌊"))], expect: [[closing, status(1000, "é 🌊")]] },
    {
      name: "a reason of 123 bytes",
      send: [masked(closing, status(1000, "*".repeat(123)))],
      expect: [[closing, status(1000, "*".repeat(123))]]
    },
    {
      name: "a reason of 124 bytes",
      send: [masked(closing, status(1000, "*".repeat(124)))],
      expect: [refused(1002)]
    },
    {
      name: "a reason that is not UTF-8",
      send: [masked(closing, status(1000, hex("ce ba e1 bd b9 cf 83 ed a0 80")))],
      expect: [refused(1007)]
    },
    {
      name: "a reason that ends within a character",
      send: [masked(closing, status(1000, hex("e2 82")))],
      expect: [refused(1007)]
    }
  ]),
  ...legal.map((code): Case => ({
    name: `code ${code}`,
    send: [masked(closing, status(code, "why"))],
    expect: [[closing, status(code, "why")]]
  })),
  ...illegal.map((code): Case => ({
    name: `code ${code}, which nobody may send, behind a message`,
    send: [masked(textual, "first"), masked(closing, status(code))],
    expect: [[textual, "first"], refused(1002)]
  }))
])

const mebibyte = 1 << 20
const inFragments = (opcode: number, payload: Uint8Array, size: number) =>
  Array.from({ length: payload.length / size }, (_, i) =>
    masked(
      i === 0 ? opcode : continuation,
      payload.subarray(i * size, (i + 1) * size),
      (i + 1) * size === payload.length ? 0x80 : 0
    )
  )

section("9 limits", [
  { name: "text of 8 MiB", send: [masked(textual, "é".repeat(4 << 20))], expect: [[textual, "é".repeat(4 << 20)]] },
  {
    name: "binary of 8 MiB",
    send: [masked(binary, counting(8 * mebibyte))],
    expect: [[binary, counting(8 * mebibyte)]]
  },
  ...[64, 4_096, 65_536].map((size): Case => ({
    name: `4 MiB in fragments of ${size} bytes`,
    send: inFragments(binary, counting(4 * mebibyte), size),
    expect: [[binary, counting(4 * mebibyte)]]
  })),
  ...[512, 2_048].map((chop): Case => ({
    name: `1 MiB of text in writes of ${chop} bytes`,
    send: [masked(textual, "€".repeat(349_525))],
    expect: [[textual, "€".repeat(349_525)]],
    chop
  })),
  {
    name: "5000 messages at once",
    send: Array.from({ length: 5_000 }, (_, i) => masked(i % 2 === 0 ? textual : binary, `message ${i}`)),
    expect: Array.from({ length: 5_000 }, (_, i): Expected => [i % 2 === 0 ? textual : binary, `message ${i}`])
  },
  {
    name: "the header of a message of 64 MiB and a byte",
    send: [masked(textual, "first"), hex("82 ff 00 00 00 00 04 00 00 01")],
    expect: [[textual, "first"], refused(1009)]
  },
  {
    name: "a length of 2^63 - 1",
    send: [hex("82 ff 7f ff ff ff ff ff ff ff")],
    expect: [refused(1009)]
  },
  { name: "a length of 2^63", send: [hex("82 ff 80 00 00 00 00 00 00 00")], expect: [refused(1002)] },
  { name: "a length of 125 in two bytes", send: [hex("82 fe 00 7d")], expect: [refused(1002)] },
  { name: "a length of 65535 in eight", send: [hex("82 ff 00 00 00 00 00 00 ff ff")], expect: [refused(1002)] },
  { name: "a frame that is not masked", send: [hex("81 05 48 65 6c 6c 6f")], expect: [refused(1002)] }
])
