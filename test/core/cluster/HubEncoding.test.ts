/** What goes to many: the position is spliced in once, and nothing else is touched. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as HubEncoding from "@millrace/core/cluster/HubEncoding"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import { Publication } from "@millrace/core/cluster/Publication"
import * as Prepared from "@millrace/core/connection/Prepared"
import * as Message from "@millrace/core/protocol/Message"

const at = { epoch: "k3Yw9_sB", offset: 42 }

const encoded = (message: Message.Sendable | Message.Message, position = at) => {
  const prepared = Prepared.make(message as Message.Sendable)
  const publication = new Publication("t", prepared, position)
  return { prepared, publication, written: publication.encodedBy(HubEncoding.withPosition)! }
}

const textOf = ({ message }: Prepared.Prepared) => new TextDecoder().decode(message.bytes)

describe("a message with its position", () => {
  it("has it as its last member", () => {
    const { written } = encoded('{"type":"message","topic":"t","data":{},"from":"a","time":0}')
    expect(textOf(written)).toBe(
      '{"type":"message","topic":"t","data":{},"from":"a","time":0,"position":"k3Yw9_sB:42"}'
    )
  })

  it("is made once, for all who want it", () => {
    const { publication, written } = encoded('{"type":"message","data":1}')
    expect(publication.encodedBy(HubEncoding.withPosition)).toBe(written)
  })

  it("is as it was without a position, and whatever it is that no hub has printed", () => {
    const nowhere = Prepared.make('{"type":"message","data":1}')
    expect(new Publication("t", nowhere).encodedBy(HubEncoding.withPosition)).toBe(nowhere)
    for (const message of [
      "",
      "{}",
      '{"type":"message",',
      '{"type":"message"}',
      '{"type":"other","data":1}',
      '[{"type":"message","data":1}]',
      '{"type":"message","data":1} ',
      new TextEncoder().encode('{"type":"message","data":1}')
    ]) {
      const { prepared, written } = encoded(message)
      expect([message, written === prepared]).toEqual([message, true])
    }
  })

  it("escapes what an epoch may have in it", () => {
    const { written } = encoded('{"type":"message","data":1}', { epoch: '"\\}é', offset: 1 })
    expect(JSON.parse(textOf(written))).toEqual({ type: "message", data: 1, position: '"\\}é:1' })
  })

  it("is compressed or not as the message was to be", () => {
    const { written } = encoded(new Message.Text('{"type":"message","data":1}', false))
    expect(written.message.compress).toBe(false)
  })

  it("says what was said, and where", () => {
    const message = fc.record({ topic: fc.string(), data: fc.jsonValue(), from: fc.string(), time: fc.nat() })
    fc.assert(
      fc.property(message, fc.string({ unit: "grapheme" }), fc.maxSafeNat(), ({ data, ...rest }, epoch, offset) => {
        const text = HubMessage.encodeMessage({ ...rest, dataJson: HubMessage.toJson(data) })
        const all = textOf(encoded(text, { epoch, offset }).written)
        expect(all.startsWith(text.slice(0, -1))).toBe(true)
        const position = `${epoch}:${offset}`
        expect(JSON.parse(all)).toEqual({ ...JSON.parse(text), position })
      })
    )
  })
})

const printed = (notice: Parameters<typeof HubEncoding.notice>[0]) => HubMessage.encode(HubEncoding.notice(notice))

describe("a notice", () => {
  it("has words", () => {
    expect(printed({ _tag: "Gap", topics: ["a", "b"], from: { epoch: "e", offset: 1 }, to: at })).toBe(
      '{"type":"gap","topics":["a","b"],"from":"e:1","to":"k3Yw9_sB:42"}'
    )
    expect(printed({ _tag: "Gap", topics: ["a"], from: undefined, to: undefined })).toBe(
      '{"type":"gap","topics":["a"]}'
    )
    expect(printed({ _tag: "Advanced", topic: "a", position: at })).toBe(
      '{"type":"position","topic":"a","position":"k3Yw9_sB:42"}'
    )
    expect(printed({ _tag: "Kicked", topic: "a", reason: "rude" })).toBe(
      '{"type":"unsubscribed","topic":"a","reason":"kicked","message":"rude"}'
    )
    expect(printed({ _tag: "Moved", from: "a", to: "b", position: undefined })).toBe(
      '{"type":"moved","from":"a","to":"b"}'
    )
  })
})
