/** Packets of Socket.IO. */
import * as fc from "fast-check"
import * as Packet from "@millrace/core/interop/socketio/Packet"
import { wireValue } from "./wireValues.ts"

/** Without a comma and a question mark, which no name can have. */
const segment = fc.string({ unit: "binary", maxLength: 8 }).map((text) => text.replaceAll(/[,?]/g, "_"))

const address = fc
  .tuple(
    fc.oneof(
      fc.constant("/"),
      fc.constantFrom("/admin", "/1", '/admin{"a":1}', "/a/b"),
      segment.map((s) => `/${s}`)
    ),
    fc.option(
      fc.string({ maxLength: 8 }).map((text) => text.replaceAll(",", "?")),
      { nil: undefined, freq: 4 }
    )
  )
  .map(([namespace, query]) => ({ namespace, query }))

const id = fc.oneof(fc.nat({ max: 99 }), fc.maxSafeNat(), fc.constantFrom(0, Number.MAX_SAFE_INTEGER))

const name = fc
  .oneof(fc.string({ maxLength: 8 }), fc.constantFrom("chat", "error", "42", "toString", "hasOwnProperty", "é"))
  .filter((text) => !Packet.isReserved(text))

const args = fc.array(wireValue, { maxLength: 4 })

/** A value of JSON in which no bytes stand. */
const plain = fc
  .jsonValue()
  .filter((value) => !/"(__proto__|constructor|prototype)"/.test(JSON.stringify(value)))
  .map((value): unknown => JSON.parse(JSON.stringify(value)))

const payload = fc.dictionary(fc.string({ minLength: 1, maxLength: 5 }), plain, { maxKeys: 3, noNullPrototype: true })

/** Packets with as many bytes in them as they like. */
export const packet: fc.Arbitrary<Packet.Packet> = fc
  .tuple(
    address,
    fc.oneof(
      fc.record({
        _tag: fc.constant("Connect" as const),
        payload: fc.option(
          payload.filter((value) => !Object.keys(value).some((key) => /^(__proto__|constructor|prototype)$/.test(key))),
          { nil: undefined }
        )
      }),
      fc.record({ _tag: fc.constant("Disconnect" as const) }),
      {
        weight: 4,
        arbitrary: fc.record({ _tag: fc.constant("Event" as const), id: fc.option(id, { nil: undefined }), name, args })
      },
      { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Ack" as const), id, args }) },
      fc.record({
        _tag: fc.constant("ConnectError" as const),
        message: fc.string(),
        data: fc.option(plain, { nil: undefined })
      })
    )
  )
  .map(([to, what]) => Object.assign(what, to))

/** Enough for whatever `packet` gives. */
export const generous: Packet.Options = { maxAttachments: 1_000, maxAttachmentBytes: 2 ** 30 }
