/** Bytes as `@socket.io/redis-emitter` 5.1 has written them, and what it never says. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Emission from "@millrace/core/interop/socketio/Emission"
import * as Packet from "@millrace/core/interop/socketio/Packet"
import * as MessagePackCodec from "@millrace/core/messaging/MessagePackCodec"
import { mutated, nested, wireValue } from "../../../support/wireValues.ts"

const hex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))

const failure = <A, E>(result: Result.Result<A, E>) => Result.getOrThrow(Result.flip(result))

/** By `emitter.of("/admin").to("lobby").except("b").volatile.emit("said", "hé", bytes)`. */
const written = hex(
  "93a7656d697474657283a47479706502a46461746193a473616964a368c3a9c40200ffa36e7370a62f61646d696e83a5726f6f6d7391a56c6f626279a5666c61677381a8766f6c6174696c65c3a665786365707491a162"
)

const said: Emission.Emission = {
  from: "emitter",
  namespace: "/admin",
  name: "said",
  args: ["hé", new Uint8Array([0, 255])],
  rooms: ["lobby"],
  except: ["b"],
  flags: { volatile: true }
}

const packed = (value: unknown) => MessagePackCodec.make({ maxDepth: 100 }).encode(value) as Uint8Array
const packet = (data: unknown, more: object = {}) => ({ type: 2, data, nsp: "/", ...more })

describe("What an emitter says", () => {
  it("is read as it was written", () => {
    expect(Emission.decode(written)).toEqual(Result.succeed(said))
  })

  it("is written so that it is read so", () => {
    expect(Result.flatMap(Emission.encode(said), Emission.decode)).toEqual(Result.succeed(said))
  })

  it("may have numbers for names, no namespace, nobody to leave out, and the type of an event with bytes", () => {
    const bytes = packed(["emitter", { type: 5, data: [7, 1] }, { rooms: [1, "a"], except: null }])
    expect(Emission.decode(bytes)).toEqual(
      Result.succeed({
        from: "emitter",
        namespace: "/",
        name: "7",
        args: [1],
        rooms: ["1", "a"],
        except: [],
        flags: {}
      })
    )
    expect(Result.isSuccess(Emission.decode(packed(["emitter", packet(["a"])])))).toBe(true)
  })

  it.each([
    ["nothing", undefined, "syntax"],
    ["no array", {}, "value"],
    ["an array of nothing", [], "value"],
    ["nobody's", [1, packet(["a"]), {}], "value"],
    ["without a packet", ["a"], "value"],
    ["an answer", ["a", packet(["a"], { type: 3 }), {}], "value"],
    ["for no namespace", ["a", packet(["a"], { nsp: "admin" }), {}], "value"],
    ["for a namespace that is too long", ["a", packet(["a"], { nsp: `/${"a".repeat(256)}` }), {}], "limit"],
    ["an event that is no array", ["a", packet({}), {}], "value"],
    ["an event of nothing", ["a", packet([]), {}], "value"],
    ["an event whose name is an object", ["a", packet([{}]), {}], "value"],
    ["an event with a reserved name", ["a", packet(["disconnect"]), {}], "value"],
    ["an event named as a prototype", ["a", packet(["__proto__"]), {}], "value"],
    ["for an array", ["a", packet(["a"]), []], "value"],
    ["for rooms that are an object", ["a", packet(["a"]), { rooms: {} }], "value"],
    ["for a room that is an object", ["a", packet(["a"]), { rooms: [{}] }], "value"],
    ["without something that is no room", ["a", packet(["a"]), { except: [null] }], "value"],
    [
      "for too many rooms",
      ["a", packet(["a"]), { rooms: Array(1_000).fill("a"), except: Array(25).fill("b") }],
      "limit"
    ],
    ["nested too deep", ["a", packet(["a", nested(62)]), {}], "syntax"]
  ])("is not %s", (_, value, reason) => {
    const bytes = value === undefined ? new Uint8Array() : packed(value)
    expect(failure(Emission.decode(bytes))).toMatchObject({ _tag: "EmissionViolation", reason })
  })

  it.each([
    ["in seconds", "d6ff 6a127ab0", "2026-05-24T04:12:32.000Z"],
    ["in seconds above 2^32 and nanoseconds", "d7ff 7fffffff 00000001", "2378-04-22T19:24:49.536Z"],
    ["before 1970", "c70cff 0ee6b280 ffffffffffffffff", "1969-12-31T23:59:59.250Z"],
    ["that no `Date` is", "c70cff 00000000 7fffffffffffffff", null]
  ])("may hold a time %s, which is what JSON has for it", (_, bytes, text) => {
    const whole = hex(`92a16582a47479706502a46461746192a161${bytes.replaceAll(" ", "")}`)
    expect(Result.map(Emission.decode(whole), ({ args }) => args)).toEqual(Result.succeed([text]))
  })

  it.each(["d4ff00", "d5ff0000", "c700ff", "c703ff000000", "d60000000000", "d60100000000", "c70cff0000"])(
    "is not with the extension %s",
    (bytes) => {
      const whole = hex(`92a16582a47479706502a46461746192a161${bytes}`)
      expect(failure(Emission.decode(whole))).toMatchObject({ reason: "syntax" })
    }
  )

  it("has limits that it may just reach", () => {
    const limits = { maxBytes: written.length, maxRooms: 2, maxNamespaceLength: 6 }
    expect(Result.isSuccess(Emission.decode(written, limits))).toBe(true)
    for (const name of ["maxBytes", "maxRooms", "maxNamespaceLength"] as const) {
      const tight = { ...limits, [name]: limits[name] - 1 }
      expect(failure(Emission.decode(written, tight))).toMatchObject({ reason: "limit" })
      expect(failure(Emission.encode(said, { ...tight, maxBytes: tight.maxBytes - 50 }))).toMatchObject({
        _tag: "UnsendableEmission"
      })
    }
  })

  it("is published on the channel of one room, or of all", () => {
    expect(Emission.channelOf("socket.io", { namespace: "/", rooms: [] })).toBe("socket.io#/#")
    expect(Emission.channelOf("socket.io", { namespace: "/admin", rooms: ["lobby"] })).toBe("socket.io#/admin#lobby#")
    expect(Emission.channelOf("socket.io", { namespace: "/", rooms: ["a", "b"] })).toBe("socket.io#/#")
    expect(Emission.channels("socket.io")).toBe("socket.io#/")
  })

  it("is refused where it has no form", () => {
    for (const change of [{ args: [new Date(0)] }, { name: "connect" }, { namespace: "" }, { rooms: [{} as string] }]) {
      expect(failure(Emission.encode({ ...said, ...change }))).toMatchObject({ _tag: "UnsendableEmission" })
    }
  })
})

describe("Anything", () => {
  const name = fc.string().filter((name) => !Packet.isReserved(name))
  const emission = fc.record({
    from: fc.string(),
    namespace: fc.string({ maxLength: 20 }).map((name) => `/${name}`),
    name,
    args: fc.array(wireValue, { maxLength: 3 }),
    rooms: fc.array(fc.string(), { maxLength: 3 }),
    except: fc.array(fc.string(), { maxLength: 3 }),
    flags: fc.constantFrom({}, { volatile: true })
  })

  it("that is emitted is read as it was said", () => {
    fc.assert(
      fc.property(emission, (sent) => {
        expect(Result.flatMap(Emission.encode(sent), Emission.decode)).toEqual(Result.succeed(sent))
      })
    )
  })

  it("else is an emission or a violation", () => {
    const bytes = emission.map((sent) => Result.getOrThrow(Emission.encode(sent)))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), mutated(bytes), wireValue.map(packed)), (any) => {
        const decoded = Emission.decode(any)
        if (Result.isFailure(decoded)) expect(decoded.failure).toBeInstanceOf(Emission.EmissionViolation)
      })
    )
  })
})
