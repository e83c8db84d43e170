/** RFC 7692 section 7.2.2: what received messages may refer to. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Extensions from "@millrace/core/codec/Extensions"
import * as Extension from "@millrace/core/connection/Extension"
import * as Message from "@millrace/core/protocol/Message"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { plain, toward } from "../../support/connection.ts"
import { concat } from "../../support/frames.ts"
import { inflate } from "../../support/puff.ts"
import { utf8 } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { agree, noise, type Opened, open, over, rejoined } from "./connection.ts"
import { copied, stored } from "./deflate.ts"
import { bits } from "./negotiation.ts"

/** Section 7.2.3.2: "Hello", and "Hello" as what it was before. */
const [hello, again] = ["c1 07 f2 48 cd c9 c9 07 00", "c1 05 f2 00 11 00 00"]

/** "Hello" comes twice, the second time as a reference to the first, with others in between that leave no trace. */
const takesOver = ({ connection, far, receive, role }: Opened) =>
  Effect.gen(function* () {
    receive(hello, again, "81 02 48 69", "89 00", again, `41 02 f2 00 89 00 80 03 11 00 00`)
    expect(plain(yield* connection.pull)).toEqual(["Hello", "Hello", "Hi", "Hello", "Hello"])
    // The same for a message that is read while it comes, and refers to what has, and for what refers to that.
    receive(again)
    const streamed = yield* connection.receiveStream
    expect(yield* Stream.mkString(streamed.text)).toBe("Hello")
    far.push(toward(role, { fin: true, rsv: 4, opcode: 1, payload: stored(utf8("World")) }))
    yield* Stream.runDrain((yield* connection.receiveStream).text)
    far.push(toward(role, { fin: true, rsv: 4, opcode: 1, payload: copied(10, 10) }))
    expect(plain(yield* connection.pull)).toEqual(["HelloWorld"])
  })

clause.effect("7.2.2-1", "a client resolves what refers to messages before, as section 7.2.3.2 prints it", () =>
  Effect.gen(function* () {
    yield* takesOver(yield* open("client", "permessage-deflate"))
    yield* takesOver(yield* open("client", "permessage-deflate; client_no_context_takeover"))
  })
)

clause.effect("7.2.2-2", "a server resolves what refers to messages before, as section 7.2.3.2 prints it", () =>
  Effect.gen(function* () {
    yield* takesOver(yield* open("server", "permessage-deflate"))
    yield* takesOver(yield* open("server", "permessage-deflate; server_no_context_takeover"))
  })
)

clause.effect("7.2.2-3", "a server whose answer is to an offer without it does, though other offers had it", () =>
  Effect.gen(function* () {
    const offers = "permessage-deflate; client_no_context_takeover; server_max_window_bits=8, permessage-deflate"
    const compression = NodeDeflate.compression()
    const agreed = Extension.accept([compression], Result.getOrThrow(Extensions.parse(offers)))
    expect(Result.getOrThrow(Extensions.print(agreed.response))).toBe("permessage-deflate")
    yield* takesOver(yield* over("server", agreed))
  })
)

clause("7.2.2-3", "and a server that takes the hint says so, which makes it a duty of the client", () => {
  const offers = "permessage-deflate; client_no_context_takeover"
  const agreed = Extension.accept([NodeDeflate.compression()], Result.getOrThrow(Extensions.parse(offers)))
  expect(Result.getOrThrow(Extensions.print(agreed.response))).toBe(offers)
})

/** A message is as long as the window, and the next one is the first bytes of that: as far back as may be. */
const reachesBack = ({ connection, far, role }: Opened, size: number) =>
  Effect.gen(function* () {
    const bytes = noise(size)
    for (const payload of [stored(bytes), copied(10, size)]) {
      far.push(toward(role, { fin: true, rsv: 4, opcode: 2, payload }))
    }
    const messages = plain(yield* connection.pull)
    const second = messages[1] ?? plain(yield* connection.pull)[0]
    expect([messages[0], second]).toEqual([bytes, bytes.subarray(0, 10)])
  })

clause.effect("7.2.2-4", "a client resolves what is 32,768 bytes back when the server said nothing of its window", () =>
  Effect.gen(function* () {
    yield* reachesBack(yield* open("client", "permessage-deflate"), 32_768)
    yield* reachesBack(yield* open("client", "permessage-deflate; client_max_window_bits=9"), 32_768)
  })
)

clause.effect("7.2.2-4", "and as far back as the server said that its window is", () =>
  Effect.gen(function* () {
    for (const w of bits) {
      yield* reachesBack(yield* open("client", `permessage-deflate; server_max_window_bits=${w}`), 2 ** w)
    }
  })
)

clause.effect(
  "7.2.2-5",
  "a server resolves what is 32,768 bytes back when it said nothing of the client's window",
  () =>
    Effect.gen(function* () {
      yield* reachesBack(yield* open("server", "permessage-deflate"), 32_768)
      yield* reachesBack(yield* open("server", "permessage-deflate; server_max_window_bits=9"), 32_768)
    })
)

clause.effect("7.2.2-5", "and as far back as it said that the client's window may be", () =>
  Effect.gen(function* () {
    for (const w of bits.slice(0, -1)) {
      yield* reachesBack(yield* open("server", `permessage-deflate; client_max_window_bits=${w}`), 2 ** w)
    }
  })
)

clause.effect("7.2.2-6", "a client keeps to what was agreed on, whatever its hint was", () =>
  Effect.gen(function* () {
    for (const hint of [9, 12, 15] as const) {
      for (const w of [9, 11, 13]) {
        const agreed = agree("client", `permessage-deflate; client_max_window_bits=${w}`, {
          offers: [{ clientMaxWindowBits: hint }]
        })
        const { payloads } = yield* over("client", agreed)
        const something = noise(200)
        const repeating = concat([20, 300, 1000, 5000, 20_000].flatMap((length) => [something, noise(length)]))
        const { farthest } = inflate(rejoined(yield* payloads(...[repeating, repeating].map(Message.compressed))))
        expect([hint, w, farthest > 0 && farthest <= 2 ** w]).toEqual([hint, w, true])
      }
    }
  })
)
