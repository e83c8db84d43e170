/** RFC 7692 section 5: compression beside other extensions. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Extensions from "@millrace/core/codec/Extensions"
import * as Extension from "@millrace/core/connection/Extension"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { plain, reasonOf, turn } from "../../support/connection.ts"
import { Shift } from "../../support/extensions.ts"
import { clause } from "./clause.ts"
import { over } from "./connection.ts"

const compression = NodeDeflate.compression()

const parse = (value: string) => Result.getOrThrow(Extensions.parse(value))

/** An extension that adds 1 to every byte of a message, under those bits of its first frame. */
const shift = (name: string, rsv: Extension.Rsv): Extension.Extension => ({
  name,
  rsv,
  offers: [{ name, params: [] }],
  accept: () => ({ response: { name, params: [] }, makeCoder: () => new Shift() }),
  verify: () => Result.succeed(() => new Shift())
})

clause("5-15", "a server cannot be made ready for two extensions that give RSV1 a meaning", () => {
  for (const rsv of [4, 6, 7]) {
    expect(() => Extension.compose([compression, shift("x-shift", rsv)])).toThrow(TypeError)
    expect(() => Extension.compose([shift("x-shift", rsv), compression])).toThrow(TypeError)
  }
  expect(Extension.compose([compression, shift("x-shift", 2)])).toHaveLength(2)
})

clause("5-15", "and does not accept one that it is not ready for", () => {
  const extensions = Extension.compose([compression, shift("x-shift", 2)])
  const accepted = (offered: string) => {
    const { response, rsv } = Extension.accept(extensions, parse(offered))
    return [response.map(({ name }) => name), rsv]
  }
  expect(accepted("x-webkit-deflate-frame, permessage-deflate")).toEqual([["permessage-deflate"], 4])
  expect(accepted("x-webkit-deflate-frame, permessage-deflate, x-shift")).toEqual([
    ["permessage-deflate", "x-shift"],
    6
  ])
})

/** Whether a client that is ready for those goes on with a server that answers so. */
const takes = (extensions: ReadonlyArray<Extension.Extension>, response: string) =>
  Result.isSuccess(Extension.verify(extensions, parse(response)))

clause("5-16", "a client fails the connection at an extension beside compression that it is not ready for", () => {
  const extensions = Extension.compose([compression, shift("x-shift", 2)])
  expect(takes(extensions, "permessage-deflate, x-shift")).toBe(true)
  expect(takes(extensions, "permessage-deflate, x-webkit-deflate-frame")).toBe(false)
  expect(takes(extensions, "x-webkit-deflate-frame, permessage-deflate")).toBe(false)
})

/** Before compression and behind it, with a bit of its own. */
const both = [parse("x-shift, permessage-deflate"), parse("permessage-deflate, x-shift")]

const agreedOn = (answered: ReadonlyArray<Extensions.Extension>) =>
  Result.getOrThrow(Extension.verify([compression, shift("x-shift", 2)], answered))

clause.effect(
  "5-17",
  "an extension sees messages, and not where frames begin and end, on either side of compression",
  () =>
    Effect.gen(function* () {
      for (const answered of both) {
        const seen: Array<number> = []
        class Counting extends Shift {
          override decode(...[payload, rsv, maxBytes]: Parameters<Shift["decode"]>) {
            seen.push(payload.length)
            return super.decode(payload, rsv, maxBytes)
          }
        }
        const agreed = agreedOn(answered)
        const coders = agreed.coders.map((coder) =>
          coder.rsv === 2 ? { rsv: 2, makeCoder: () => new Counting() } : coder
        )
        const { connection, receive } = yield* over("server", { ...agreed, coders })
        receive("a1 05 49 66 6d 6d 70", "21 02 49 66 00 00 80 03 6d 6d 70")
        expect(plain(yield* connection.pull)).toEqual(["Hello", "Hello"])
        expect(seen).toEqual([5, 5])
      }
    })
)

clause.effect("5-17", "a reserved bit is an attribute of the message: on any other frame it fails the connection", () =>
  Effect.gen(function* () {
    for (const answered of both) {
      for (const wire of ["21 01 49 a0 01 66", "a9 00", "e9 00", "61 01 00 e0 01 00"]) {
        for (const role of ["client", "server"] as const) {
          const { connection, far, receive } = yield* over(role, agreedOn(answered))
          receive(wire)
          expect(yield* reasonOf(Stream.runDrain(connection.messages))).toBe("ProtocolViolation")
          yield* turn
          expect(far.frames.map(({ opcode }) => opcode)).toEqual([8])
        }
      }
    }
  })
)

clause("5-18", "a client fails the connection at one that it is not ready for, as it is for no such extension", () => {
  expect(takes([compression], "permessage-deflate")).toBe(true)
  expect(takes([compression], "x-per-frame, permessage-deflate")).toBe(false)
  expect(takes([compression], "permessage-deflate, x-per-frame; a=1")).toBe(false)
})
