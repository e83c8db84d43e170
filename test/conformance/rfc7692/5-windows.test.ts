/** RFC 7692 section 5: the windows of both ends of a connection. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Prepared from "@millrace/core/connection/Prepared"
import * as Message from "@millrace/core/protocol/Message"
import { plain, toward, turn } from "../../support/connection.ts"
import { concat, toHex } from "../../support/frames.ts"
import { inflate } from "../../support/puff.ts"
import { utf8 } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { noise, type Opened, open, rejoined } from "./connection.ts"
import { copied, stored } from "./deflate.ts"
import { bits } from "./negotiation.ts"

/** "Hello" twice, the second time as section 7.2.3.2 prints it: by what was kept of the first. */
const refersBack = ({ connection, far, payloads }: Opened) =>
  Effect.gen(function* () {
    const sent = yield* payloads(Message.compressed("Hello"), Message.compressed("Hello"))
    expect(sent.map(toHex)).toEqual(["f2 48 cd c9 c9 07 00", "f2 00 11 00 00"])
    // What was sent in pieces is kept too.
    yield* connection.sendStream("text", Stream.make("in ", "pieces"))
    yield* turn
    const pieces = concat(far.frames.slice(2).map(({ payload }) => payload))
    const [whole] = yield* payloads(Message.compressed("in pieces"))
    expect(whole!.length).toBeLessThan(6)
    expect(inflate(rejoined([...sent, pieces, whole!])).bytes).toEqual(utf8("HelloHelloin piecesin pieces"))
  })

const resolves = ({ connection, receive }: Opened) =>
  Effect.gen(function* () {
    receive("c1 07 f2 48 cd c9 c9 07 00", "c1 05 f2 00 11 00 00")
    expect(plain(yield* connection.pull)).toEqual(["Hello", "Hello"])
  })

/** As far back as the other end may reach with a window of that size: over a message that fills it. */
const reachesBack = ({ connection, far, role }: Opened, size: number) =>
  Effect.gen(function* () {
    const bytes = noise(size)
    const received: Array<unknown> = []
    for (const payload of [stored(bytes), copied(10, size)]) {
      far.push(toward(role, { fin: true, rsv: 4, opcode: 2, payload }))
      received.push(...plain(yield* connection.pull))
    }
    expect(received).toEqual([bytes, bytes.subarray(0, 10)])
  })

clause.effect("5-3", "a server refers to what it has sent before", () =>
  Effect.gen(function* () {
    yield* refersBack(yield* open("server", "permessage-deflate"))
  })
)

clause.effect("5-3", "and to what it has sent to many, of which it had compressed but one copy", () =>
  Effect.gen(function* () {
    const { connection, payloads } = yield* open("server", "permessage-deflate")
    const [first] = yield* payloads(Message.compressed("Hi"))
    expect(connection.tryWriteUnsafe(Prepared.make(Message.compressed("Hello")))).toBe("Written")
    const [shared, own] = yield* payloads(Message.compressed("Hello"))
    expect(inflate(rejoined([first!, shared!, own!])).bytes).toEqual(utf8("HiHelloHello"))
    expect(own!.length).toBeLessThan(shared!.length)
  })
)

clause.effect("5-4", "a client knows what it has received before", () =>
  Effect.gen(function* () {
    yield* resolves(yield* open("client", "permessage-deflate"))
  })
)

clause.effect("5-5", "a client knows as much of it as the server may refer to", () =>
  Effect.gen(function* () {
    for (const w of bits) {
      yield* reachesBack(yield* open("client", `permessage-deflate; server_max_window_bits=${w}`), 2 ** w)
    }
  })
)

clause.effect("5-7", "a client refers to what it has sent before", () =>
  Effect.gen(function* () {
    yield* refersBack(yield* open("client", "permessage-deflate"))
  })
)

clause.effect("5-8", "a server knows what it has received before", () =>
  Effect.gen(function* () {
    yield* resolves(yield* open("server", "permessage-deflate"))
  })
)

clause.effect("5-9", "a server knows as much of it as it lets the client refer to", () =>
  Effect.gen(function* () {
    for (const w of bits) {
      const response = w === 15 ? "permessage-deflate" : `permessage-deflate; client_max_window_bits=${w}`
      yield* reachesBack(yield* open("server", response), 2 ** w)
    }
  })
)
