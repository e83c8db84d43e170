import { describe, expect, it } from "vitest"
import * as HubKey from "@millrace/core/cluster/HubKey"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import { isKey } from "@millrace/core/cluster/Parcel"

describe("a client's key", () => {
  it("is never one of a node, nor of a header, and as long as it may be", () => {
    const producer = "x".repeat(HubMessage.maxProducerBytes)
    const key = HubKey.ofClient({ producer, epoch: 1, sequence: 2 })
    expect(key).toEqual({ producer: `client:${producer}`, epoch: 1, sequence: 2 })
    expect(isKey(key)).toBe(true)
    expect(HubKey.ofHeader(producer)?.producer).not.toBe(key.producer)
    expect(isKey(HubKey.ofHeader(producer)!)).toBe(true)
  })
})

describe("a user's key", () => {
  const producer = "x".repeat(HubMessage.maxProducerBytes)
  const key = { producer, epoch: 1, sequence: 2 }

  it("is that of no other user, nor of who is none, by either way to say it", () => {
    const all = ["ada", "bob", undefined].flatMap((user) => [
      HubKey.ofClient(key, user),
      HubKey.ofHeader(producer, user)!
    ])
    expect(new Set(all.map(({ producer }) => producer)).size).toBe(6)
    expect(all.every(isKey)).toBe(true)
    // Where one name ends and the other begins is said.
    const of = [HubKey.ofClient({ ...key, producer: "c" }, "ab"), HubKey.ofClient({ ...key, producer: "bc" }, "a")]
    expect(of[0]!.producer).not.toBe(of[1]!.producer)
  })

  it("is the same each time", () => {
    expect(HubKey.ofClient(key, "ada")).toEqual(HubKey.ofClient(key, "ada"))
    expect(HubKey.ofClient(key, "ada")).toMatchObject({ epoch: 1, sequence: 2 })
  })
})

describe("Idempotency-Key", () => {
  it.each([
    ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ["8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ['"a \\"b\\" \\\\"', 'a "b" \\']
  ])("%s is a string", (value, text) => {
    expect(HubKey.ofHeader(value)).toEqual({ producer: `header:${text}`, epoch: 0, sequence: 0 })
  })

  it.each(["", '""', '"', '"a', '"a"b"', '"a\\b"', "é", "a\tb", "x".repeat(121)])("%j is none", (value) => {
    expect(HubKey.ofHeader(value)).toBeUndefined()
  })
})
