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
