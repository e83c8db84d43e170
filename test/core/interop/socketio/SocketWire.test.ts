import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as SocketWire from "@millrace/core/interop/socketio/SocketWire"
import * as Value from "@millrace/core/interop/Value"
import { nested } from "../../../support/wireValues.ts"

const said = { topic: "lobby", from: "ada", time: 7 }

const refused = (name: string, ...args: ReadonlyArray<unknown>) =>
  Result.match(SocketWire.toPublish(name, args, said), { onFailure: ({ _tag }) => _tag, onSuccess: () => "taken" })

describe("An event as a publication", () => {
  it.each([[["hé", { a: [1] }]], [["up", new Uint8Array([1, 2])]]])("is that of the array %j", (args) => {
    const [name, ...rest] = args as [string, ...ReadonlyArray<unknown>]
    expect(SocketWire.toPublish(name, rest, said)).toEqual(Value.toPublish(args, said))
  })

  it("is refused where Socket.IO has no form for it, or the hub", () => {
    expect(refused("connect")).toBe("UnsendablePacket")
    expect(refused("said", 1n)).toBe("UnsendablePacket")
    // The message of the hub's is one level more.
    expect(refused("said", nested(63))).toBe("UnsendablePacket")
    expect(refused("said", nested(62))).toBe("taken")
  })
})
