/** permessage-deflate on messages: the bytes that RFC 7692 prints, then what it does with which messages. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { Chunks } from "@millrace/core/codec/Chunks"
import * as Compression from "@millrace/core/connection/Compression"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import {
  deflate,
  ends,
  noise,
  now,
  outgoing,
  receive,
  receiveStream,
  send,
  share,
  stream,
  text,
  watched
} from "../../support/compression.ts"
import { counting, toHex } from "../../support/frames.ts"
import { hex, utf8 } from "../../support/wire.ts"

const none = { serverNoContextTakeover: true, clientNoContextTakeover: true }

const hello = utf8("Hello")

const eager = { threshold: 0 }

describe("the bytes of RFC 7692 section 7.2.3", () => {
  it.effect("7.2.3.1: Hello, in one block, also in two fragments", () =>
    Effect.gen(function* () {
      const { client, server } = ends(none)
      const sent = yield* send(server, "Hello", true)
      assert.strictEqual(toHex(sent.payload), "f2 48 cd c9 c9 07 00")
      assert.strictEqual(sent.rsv, 4)
      assert.deepStrictEqual(yield* receive(client, sent), hello)
      assert.deepStrictEqual(yield* receiveStream(client, [hex("f2 48 cd"), hex("c9 c9 07 00")]), hello)
    })
  )

  it.effect("7.2.3.2: Hello again, which refers to the one before, and without a window does not", () =>
    Effect.gen(function* () {
      const { client, server } = ends()
      yield* receive(client, yield* send(server, "Hello", true))
      const again = yield* send(server, "Hello", true)
      assert.strictEqual(toHex(again.payload), "f2 00 11 00 00")
      assert.deepStrictEqual(yield* receive(client, again), hello)

      const forgetful = ends(none)
      yield* send(forgetful.server, "Hello", true)
      assert.strictEqual(toHex((yield* send(forgetful.server, "Hello", true)).payload), "f2 48 cd c9 c9 07 00")
    })
  )

  it.effect("7.2.3.3: a block without compression", () =>
    Effect.gen(function* () {
      const { client } = ends()
      const stored = hex("00 05 00 fa ff 48 65 6c 6c 6f 00")
      assert.deepStrictEqual(yield* receive(client, { payload: stored, rsv: 4 }), hello)
      assert.deepStrictEqual(yield* receiveStream(client, [stored]), hello)
      const { server } = ends({}, eager, NodeDeflate.make({ level: 0 }))
      assert.strictEqual(toHex((yield* send(server, "Hello", true)).payload), toHex(stored))
    })
  )

  it.effect("7.2.3.4: a final block, behind which another may refer to it", () =>
    Effect.gen(function* () {
      const final = "f3 48 cd c9 c9 07 00"
      const { client } = ends()
      assert.deepStrictEqual(yield* receive(client, { payload: hex(`${final} 00`), rsv: 4 }), hello)
      assert.deepStrictEqual(yield* receiveStream(client, [hex(final), hex("00")]), hello)
      const twice = hex(`${final} f2 00 11 00 00`)
      assert.deepStrictEqual(yield* receive(client, { payload: twice, rsv: 4 }), utf8("HelloHello"))
      for (let cut = 1; cut < twice.length; cut++) {
        const pieces = [twice.subarray(0, cut), twice.subarray(cut)]
        assert.deepStrictEqual(yield* receiveStream(client, pieces), utf8("HelloHello"))
      }
    })
  )

  it.effect("7.2.3.5: two blocks in one message, which is what a stream of two pieces becomes", () =>
    Effect.gen(function* () {
      const two = "f2 48 05 00 00 00 ff ff ca c9 c9 07 00"
      const { client, server } = ends()
      assert.deepStrictEqual(yield* receive(client, { payload: hex(two), rsv: 4 }), hello)
      assert.deepStrictEqual(yield* receiveStream(client, [hex(two)]), hello)
      const encoding = server.encodeStream(outgoing(Stream.make(utf8("He"), utf8("llo")).pipe(Stream.rechunk(1))))
      const pieces = yield* Stream.runCollect(encoding!.pieces)
      assert.strictEqual(pieces.map(toHex).join(" "), two)
    })
  )

  it.effect("7.2.3.6: an empty message is one byte, and so is an empty stream", () =>
    Effect.gen(function* () {
      const { client, server } = ends()
      const sent = yield* send(server, "", true)
      assert.deepStrictEqual(sent, { payload: hex("00"), rsv: 4 })
      assert.deepStrictEqual(yield* receive(client, sent), new Uint8Array(0))
      assert.deepStrictEqual(yield* receiveStream(client, [sent.payload]), new Uint8Array(0))
      yield* send(server, "Hello", true)
      assert.deepStrictEqual(yield* send(server, "", true), sent)
      assert.deepStrictEqual(share(server, new Uint8Array(0), true), sent)
      assert.deepStrictEqual(yield* stream(server, []), sent)
      assert.deepStrictEqual(yield* stream(server, [new Uint8Array(0)]), sent)
    })
  )
})

describe("what is sent", () => {
  it("is compressed from threshold bytes of UTF-8 on, in whatever it is given", () => {
    const { server } = ends()
    const chunks = new Chunks()
    chunks.push(utf8(text(600)))
    chunks.push(utf8(text(424)))
    const long = [text(1_024), utf8(text(1_024)), chunks, "é".repeat(512), "水".repeat(342)]
    assert.deepStrictEqual(
      long.map((payload) => now(server.encode(outgoing(payload))).rsv),
      [4, 4, 4, 4, 4]
    )
    const short = [text(1_023), utf8(text(1_023)), new Chunks(), "é".repeat(511), "水".repeat(341), ""]
    assert.deepStrictEqual(
      short.map((payload) => server.encode(outgoing(payload))),
      short.map(() => undefined)
    )
    assert.strictEqual(server.shared?.encode(outgoing(utf8(text(1_023)))), undefined)
    assert.strictEqual(server.shared?.encode(outgoing(utf8(text(1_024))))?.rsv, 4)
  })

  it("is compressed, or not, when it asks to be", () => {
    const { server } = ends()
    assert.strictEqual(now(server.encode(outgoing("short", true))).rsv, 4)
    assert.strictEqual(server.shared!.encode(outgoing(utf8("short"), true))!.rsv, 4)
    assert.strictEqual(server.encode(outgoing(text(5_000), false)), undefined)
    assert.strictEqual(server.shared!.encode(outgoing(utf8(text(5_000)), false)), undefined)
    assert.strictEqual(server.encodeStream(outgoing(Stream.make(hello), false)), undefined)
  })

  it.effect("is sent as it is where it would not get shorter, unless it asks to be compressed", () =>
    Effect.gen(function* () {
      const { client, server } = ends()
      const bytes = noise(2_000)
      assert.deepStrictEqual(yield* send(server, bytes), { payload: bytes, rsv: 0 })
      assert.deepStrictEqual(share(server, bytes), { payload: bytes, rsv: 0 })
      // What was not sent compressed is in nobody's window.
      const sent = yield* send(server, bytes, true)
      assert.strictEqual(sent.rsv, 4)
      assert.isAbove(sent.payload.length, 2_000)
      assert.deepStrictEqual(yield* receive(client, sent), bytes)
      assert.isBelow((yield* send(server, bytes)).payload.length, 100)
      // As long as before is not shorter.
      const equal = ends({}, eager)
      yield* send(equal.server, "Hello", true)
      assert.deepStrictEqual(yield* send(equal.server, "Hello"), { payload: hello, rsv: 0 })
    })
  )

  it.effect("takes the window from what was written, and not from what was given up", () =>
    Effect.gen(function* () {
      const { client, server } = ends({}, eager)
      now(server.encode(outgoing(text(500))))
      const sent = yield* send(server, text(500))
      assert.deepStrictEqual(yield* receive(client, sent), utf8(text(500)))
    })
  )

  it.effect("does not change with what the sender does to its bytes once they are written", () =>
    Effect.gen(function* () {
      const { client, server } = ends()
      const bytes = utf8(text(2_000))
      yield* receive(client, yield* send(server, bytes))
      bytes.fill(0)
      assert.deepStrictEqual(yield* receive(client, yield* send(server, text(2_000))), utf8(text(2_000)))
    })
  )

  it("is not compressed where the window that was agreed on is smaller than zlib can keep to", () => {
    const { client, server } = ends({ clientMaxWindowBits: 8 })
    assert.strictEqual(client.encode(outgoing(text(5_000), true)), undefined)
    assert.strictEqual(client.encodeStream(outgoing(Stream.make(hello), true)), undefined)
    assert.strictEqual(client.shared!.encode(outgoing(utf8(text(5_000)), true)), undefined)
    assert.strictEqual(now(server.encode(outgoing(text(5_000)))).rsv, 4)
  })

  it("is done in the call when it is short, and by a thread when it is long", () => {
    const { client, server } = ends()
    const short = server.encode(outgoing(text(32_767)))
    assert.isTrue(Exit.isExit(short))
    assert.isFalse(Exit.isExit(server.encode(outgoing(text(32_768)))))
    assert.isTrue(Exit.isExit(receive(client, now(short))))
  })
})

describe("a message that goes to many", () => {
  const broadcast = utf8(text(3_000))

  it("is the same bytes for all connections of an extension that compress with one window", () => {
    const extension = Compression.over(deflate)
    const keyOf = (name: string, value: string) =>
      extension.accept([{ name: extension.name, params: [[name, value]] }])!.makeCoder().shared!.key
    const keys = [
      keyOf("server_max_window_bits", "15"),
      keyOf("server_max_window_bits", "13"),
      keyOf("server_max_window_bits", "12"),
      Compression.over(deflate)
        .accept([{ name: extension.name, params: [] }])!
        .makeCoder().shared!.key
    ]
    assert.strictEqual(keys[0], keys[1])
    assert.strictEqual(new Set(keys).size, 3)
  })

  it.effect("can be inflated whatever came before, and be referred to by what comes next", () =>
    Effect.gen(function* () {
      const all = [ends({}, eager), ends({}, eager), ends(none, eager)]
      const encoded = all[0]!.server.shared!.encode(outgoing(broadcast))!
      for (const [i, { client, server }] of all.entries()) {
        for (let sent = 0; sent < i; sent++) yield* receive(client, yield* send(server, `number ${sent}`))
        server.shared!.written(outgoing(broadcast))
        assert.deepStrictEqual(yield* receive(client, encoded), broadcast)
      }
      const [first, second, forgetful] = yield* Effect.forEach(all, ({ client, server }) =>
        Effect.gen(function* () {
          const next = yield* send(server, broadcast)
          assert.deepStrictEqual(yield* receive(client, next), broadcast)
          return next.payload.length
        })
      )
      assert.isBelow(first!, 40)
      assert.isBelow(second!, 40)
      assert.strictEqual(forgetful!, encoded.payload.length)
    })
  )

  it("is copied once for all windows, which do not keep the rest of it", () => {
    const seen: Array<Uint8Array | undefined> = []
    const looking = watched((_, { dictionary }) => seen.push(dictionary))
    const extension = Compression.over(looking)
    const { makeCoder } = extension.accept([{ name: extension.name, params: [] }])!
    const bytes = counting(100_000)
    for (const coder of [makeCoder(), makeCoder()]) {
      coder.shared!.written(outgoing(bytes))
      now(coder.encode(outgoing(text(2_000))))
    }
    const [one, other] = seen
    assert.strictEqual(one, other)
    assert.deepStrictEqual(one, bytes.slice(-8_192))
    assert.strictEqual(one?.buffer.byteLength, 8_192)
  })
})

describe("without context takeover", () => {
  it.effect("nothing is kept of any message, in either direction, however it came", () =>
    Effect.gen(function* () {
      const dictionaries: Array<Uint8Array | undefined> = []
      const looking = watched((_, { dictionary }) => dictionaries.push(dictionary))
      const { client, server } = ends(none, eager, looking)
      const bytes = utf8(text(2_000))
      for (let times = 0; times < 2; times++) {
        yield* receive(client, yield* send(server, bytes))
        yield* receive(client, share(server, bytes))
        yield* receiveStream(client, [(yield* stream(server, [bytes])).payload])
      }
      assert.deepStrictEqual(
        dictionaries,
        dictionaries.map(() => undefined)
      )
      assert.strictEqual(dictionaries.length, 12)
    })
  )
})

describe("what is received", () => {
  it("is left as it is without the bit", () => {
    const { client } = ends()
    assert.strictEqual(client.decode(hello, 0, 100), undefined)
    assert.strictEqual(client.decode(hello, 3, 100), undefined)
    assert.strictEqual(client.decodeStream(Stream.make(hello), 3, 100), undefined)
  })

  it.effect("without any bytes is an empty message", () =>
    Effect.gen(function* () {
      const { client } = ends()
      const empty = new Uint8Array(0)
      assert.deepStrictEqual(yield* receive(client, { payload: empty, rsv: 4 }), empty)
      assert.deepStrictEqual(yield* receiveStream(client, []), empty)
    })
  )

  it.effect("in pieces is joined", () =>
    Effect.gen(function* () {
      const { client } = ends()
      const chunks = new Chunks()
      for (const byte of hex("f2 48 cd c9 c9 07 00")) chunks.push(Uint8Array.of(byte))
      assert.deepStrictEqual(yield* client.decode(chunks, 4, 5)!, hello)
    })
  )

  it.effect("is a violation with 1009 when it is one byte too long, whole and in pieces", () =>
    Effect.gen(function* () {
      for (const length of [1, 5, 64, 1_000, 70_000, 300_000]) {
        const { client, server } = ends(none)
        const sent = yield* send(server, text(length), true)
        assert.strictEqual((yield* receive(client, sent, length)).length, length)
        assert.strictEqual((yield* receiveStream(client, [sent.payload], 4, length)).length, length)
        for (const decoding of [
          receive(client, sent, length - 1),
          receiveStream(client, [sent.payload], 4, length - 1)
        ]) {
          const { clause, closeCode, detail } = yield* Effect.flip(decoding)
          assert.deepStrictEqual([closeCode, clause, detail], [1009, "RFC 6455 7.4.1", "message too big"])
        }
      }
    })
  )

  it.effect("is a violation with 1007 when it is no DEFLATE, of which nothing is told but that", () =>
    Effect.gen(function* () {
      const { client } = ends()
      for (const decoding of [
        receive(client, { payload: hex("ff ff ff"), rsv: 4 }),
        receiveStream(client, [hex("ff ff ff")])
      ]) {
        const { clause, closeCode, detail } = yield* Effect.flip(decoding)
        assert.deepStrictEqual([closeCode, clause, detail], [1007, "RFC 7692 7.2.2", "compressed data is corrupt"])
      }
    })
  )

  it.effect("belongs to the receiver, who may change it", () =>
    Effect.gen(function* () {
      const { client, server } = ends()
      for (let i = 0; i < 4; i++) {
        const received = yield* receive(client, yield* send(server, text(2_000)))
        assert.deepStrictEqual(received, utf8(text(2_000)))
        received.fill(0)
        const piece = yield* receiveStream(client, [(yield* send(server, text(2_000))).payload])
        assert.deepStrictEqual(piece, utf8(text(2_000)))
        piece.fill(0)
      }
    })
  )

  it.effect("fails as the stream does that it comes from, in its own words", () =>
    Effect.gen(function* () {
      const { client } = ends()
      const gone = Stream.concat(Stream.make(hex("f2 48 cd")), Stream.fail("gone" as const))
      const pieces: Array<Uint8Array> = []
      const reading = Stream.runForEach(client.decodeStream(gone, 4, 100)!, (piece) =>
        Effect.sync(() => pieces.push(piece))
      )
      assert.strictEqual(yield* Effect.flip(reading), "gone")
      assert.deepStrictEqual(pieces, [utf8("He")])
    })
  )
})

describe("a stream", () => {
  it.effect("goes on from the window of the connection, and leaves it to what comes next", () =>
    Effect.gen(function* () {
      const { client, server } = ends({}, eager)
      yield* receive(client, yield* send(server, text(1_000)))
      const streamed = yield* stream(server, [utf8(text(500)), utf8(text(700))])
      assert.isBelow(streamed.payload.length, 40)
      assert.deepStrictEqual(yield* receiveStream(client, [streamed.payload]), utf8(text(500) + text(700)))
      const noisy = yield* stream(server, [noise(900)])
      assert.deepStrictEqual(yield* receive(client, noisy), noise(900))
      const next = yield* send(server, noise(900))
      assert.isBelow(next.payload.length, 40)
      assert.deepStrictEqual(yield* receive(client, next), noise(900))
    })
  )

  it.effect("that is not read to its end has moved no window", () =>
    Effect.gen(function* () {
      const { client, server } = ends({}, eager)
      yield* receive(client, yield* send(server, text(300)))
      const encoding = server.encodeStream(outgoing(Stream.make(noise(900), hello).pipe(Stream.rechunk(1))))!
      yield* Stream.runDrain(Stream.take(encoding.pieces, 2))
      yield* receive(client, yield* send(server, noise(900), true))
      const decoding = client.decodeStream(Stream.make(hex("f2 48 cd"), hex("ff")).pipe(Stream.rechunk(1)), 4, 100)!
      yield* Stream.runDrain(Stream.take(decoding, 1))
      const sent = yield* send(server, noise(900), true)
      assert.isBelow(sent.payload.length, 40)
      assert.deepStrictEqual(yield* receive(client, sent), noise(900))
    })
  )

  it.effect("gives out each piece before it pulls the next, compressed as far as it goes", () =>
    Effect.gen(function* () {
      const { client, server } = ends()
      const events: Array<string> = []
      const pieces = Stream.fromArray(["one", "two", "three"]).pipe(
        Stream.rechunk(1),
        Stream.tap((piece) => Effect.sync(() => events.push(`pulled ${piece}`))),
        Stream.map(utf8)
      )
      const decoded = client.decodeStream(server.encodeStream(outgoing(pieces))!.pieces, 4, 100)!
      yield* Stream.runForEach(decoded, (piece) => Effect.sync(() => events.push(new TextDecoder().decode(piece))))
      assert.deepStrictEqual(events, ["pulled one", "one", "pulled two", "two", "pulled three", "three"])
    })
  )

  it.effect("is in pieces of at most 64 KiB on both sides, however long the pieces are that go in", () =>
    Effect.gen(function* () {
      const { client, server } = ends()
      for (const bytes of [noise(300_000), counting(300_000), new Uint8Array(1_000_000)]) {
        const coded = yield* Stream.runCollect(server.encodeStream(outgoing(Stream.make(bytes)))!.pieces)
        const decoded = yield* Stream.runCollect(client.decodeStream(Stream.fromArray(coded), 4, 1e6)!)
        for (const piece of [...coded, ...decoded]) assert.isAtMost(piece.length, 65_536)
        assert.strictEqual(
          decoded.reduce((sum, piece) => sum + piece.length, 0),
          bytes.length
        )
      }
    })
  )
})

const answer = (server: NonNullable<Compression.Options["server"]>, offer: string) => {
  const extension = Compression.over(deflate, { server })
  const params = offer === "" ? [] : [[offer, undefined] as const]
  return extension.accept([{ name: extension.name, params }])?.response.params
}

describe("what was agreed on", () => {
  it.effect("is kept to by each connection of an extension, whatever others of it have agreed on", () =>
    Effect.gen(function* () {
      let seen: Array<string> = []
      const looking = watched((what, { dictionary, windowBits }) =>
        seen.push(`${what} ${windowBits} ${dictionary?.length ?? 0}`)
      )
      const extension = Compression.over(looking, eager)
      const coderFor = (...params: ReadonlyArray<[string, string | undefined]>) =>
        extension.accept([{ name: extension.name, params }])!.makeCoder()
      const coders = [
        [coderFor(), "deflate 13 8192", "inflate 15 32768"],
        [coderFor(["server_no_context_takeover", undefined]), "deflate 13 0", "inflate 15 32768"],
        [coderFor(["client_no_context_takeover", undefined]), "deflate 13 8192", "inflate 15 0"],
        [coderFor(["server_max_window_bits", "10"]), "deflate 10 1024", "inflate 15 32768"],
        [coderFor(["client_max_window_bits", "9"]), "deflate 13 8192", "inflate 9 512"],
        [coderFor(["client_max_window_bits", "8"]), "deflate 13 8192", "inflate 8 256"]
      ] as const
      const { client } = ends(none, {})
      const received = yield* send(client, text(20_000))
      for (const [coder, ...expected] of coders) {
        for (let times = 0; times < 3; times++) {
          seen = []
          yield* send(coder, text(20_000))
          yield* receive(coder, received)
        }
        assert.deepStrictEqual(seen, expected)
      }
    })
  )
})

describe("what a server agrees to", () => {
  it("is full windows with context takeover, unless it was told otherwise", () => {
    assert.deepStrictEqual(answer({}, "client_max_window_bits"), [])
    const strict = { serverNoContextTakeover: true, serverMaxWindowBits: 10 } as const
    assert.deepStrictEqual(answer(strict, ""), [
      ["server_no_context_takeover", undefined],
      ["server_max_window_bits", "10"]
    ])
  })

  it("is an empty window for each message of a client that cannot be limited, or nothing", () => {
    const limited = { clientMaxWindowBits: 11 } as const
    assert.deepStrictEqual(answer(limited, "client_max_window_bits"), [["client_max_window_bits", "11"]])
    assert.deepStrictEqual(answer(limited, ""), [["client_no_context_takeover", undefined]])
    assert.strictEqual(answer({ ...limited, unlimitedClients: "Decline" }, ""), undefined)
  })

  it("is nothing where it could not keep to the window", () => {
    const extension = Compression.over(deflate)
    const offers = [{ name: extension.name, params: [["server_max_window_bits", "8"] as const] }]
    assert.strictEqual(extension.accept(offers), undefined)
  })
})

describe("what it is made with", () => {
  it("is refused when it makes no sense", () => {
    for (const options of [
      { threshold: -1 },
      { threshold: Number.NaN },
      { compressorWindowBits: 8 as const },
      { compressorWindowBits: 16 as 15 },
      { offers: [] }
    ]) {
      assert.throws(() => Compression.over(deflate, options), RangeError)
    }
  })

  it.effect("comes with defaults, and with the DEFLATE of the environment", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(Compression.defaults, { threshold: 1_024, compressorWindowBits: 13 })
      const extension = yield* Effect.provide(Compression.make({ threshold: 3 }), NodeDeflate.layer())
      assert.deepStrictEqual(
        [extension.name, extension.rsv, extension.offers],
        ["permessage-deflate", 4, [{ name: "permessage-deflate", params: [["client_max_window_bits", undefined]] }]]
      )
      const coder = extension.accept(extension.offers)!.makeCoder()
      assert.strictEqual(now(coder.encode(outgoing("aaaaaaaaaaaaaaa"))).rsv, 4)
      assert.strictEqual(coder.encode(outgoing("aa")), undefined)
    })
  )
})
