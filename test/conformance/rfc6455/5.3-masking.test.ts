/** RFC 6455 section 5.3: the mask bit, a fresh key for every frame, and where the key comes from. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint } from "./endpoint.ts"

clause.each(
  "5.3-1",
  "the mask bit is the first of the second byte, whatever the form of the length",
  [
    ["7 bits", 5, "82 85 de ad be ef"],
    ["16 bits", 200, "82 fe 00 c8 de ad be ef"],
    ["64 bits", 65_536, "82 ff 00 00 00 00 00 01 00 00 de ad be ef"]
  ],
  (_, length, header) => {
    const client = new Endpoint("client", { maskingKeys: [0xdeadbeef] })
    client.sendBinary(new Uint8Array(length))
    expect(client.written[0]!.slice(0, header.length)).toBe(header)
    // Zeros show the key itself, octet i of the payload under octet i mod 4 of the key.
    const body = client.written[0]!.slice(header.length + 1).split(" ")
    expect(body).toEqual(Array.from({ length }, (_, i) => ["de", "ad", "be", "ef"][i % 4]))
  }
)

clause("5.3-2", "every frame has the key that was picked for it, fragments and control frames too", () => {
  const client = new Endpoint("client", { maskingKeys: [0x00000001, 0xff000000, 0x37fa213d, 0x80000000] })
  client.sendText("a", false)
  client.ping(hex("00"))
  client.sendText("b")
  client.receive("89 01 00")
  expect(client.written).toEqual([
    "01 81 00 00 00 01 61",
    "89 81 ff 00 00 00 ff",
    "80 81 37 fa 21 3d 55",
    "8a 81 80 00 00 00 80"
  ])
})
