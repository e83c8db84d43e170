/** Messages: what they are made of, and what of it is made only when it is asked for. */
import { describe, expect, it, vi } from "vitest"
import { Chunks } from "@millrace/core/codec/Chunks"
import * as Message from "@millrace/core/protocol/Message"
import { utf8 } from "../../support/wire.ts"

const inPieces = (...pieces: ReadonlyArray<Uint8Array>): Chunks => {
  const chunks = new Chunks()
  for (const piece of pieces) chunks.push(piece)
  return chunks
}

const long = (byte: number) => new Uint8Array(1000).fill(byte)

describe("a message", () => {
  it("has the bytes it was made of, not a copy", () => {
    const bytes = Uint8Array.of(1, 2, 3)
    expect(Message.binary(bytes).bytes).toBe(bytes)
    expect(new Message.Text(bytes).bytes).toBe(bytes)
    expect(Message.binary(bytes).length).toBe(3)
  })

  it("may be marked to be compressed or not, and is otherwise the same", () => {
    for (const value of ["a", utf8("a"), Message.text("a"), Message.binary(utf8("a"))]) {
      const plain = Message.from(value)
      for (const [marked, compress] of [
        [plain, undefined],
        [Message.compressed(value), true],
        [Message.uncompressed(value), false]
      ] as const) {
        expect([marked._tag, marked.bytes, marked.compress]).toEqual([plain._tag, utf8("a"), compress])
      }
    }
  })

  it("of a string has as many bytes as its UTF-8, which is not made to count them", () => {
    for (const text of [
      "",
      "abc",
      "é",
      "€",
      "🌊",
      "aé€🌊z",
      "\u07ff\u0800\uffff",
      "x".repeat(2_000),
      "€".repeat(2_000)
    ]) {
      const message = Message.text(text)
      expect(message.length).toBe(utf8(text).length)
      if (text.length < 1_000) expect(message.source).toBe(text)
      expect(message.text).toBe(text)
    }
  })

  it("of pieces is joined when its bytes are asked for, once", () => {
    const chunks = inPieces(long(1), long(2))
    const join = vi.spyOn(chunks, "join")
    const message = new Message.Binary(chunks)
    expect(message.length).toBe(2000)
    expect(message.content).toBe(chunks)
    expect(join).not.toHaveBeenCalled()
    expect(message.bytes).toEqual(Uint8Array.from([...long(1), ...long(2)]))
    expect(message.bytes).toBe(message.bytes)
    expect(join).toHaveBeenCalledTimes(1)
  })

  it("of text is decoded when the string is asked for, once, across its pieces", () => {
    const bytes = utf8(`${"x".repeat(999)}é${"y".repeat(600)}`)
    const message = new Message.Text(inPieces(bytes.slice(0, 1000), bytes.slice(1000)))
    expect(message.text).toBe(`${"x".repeat(999)}é${"y".repeat(600)}`)
    const decode = vi.spyOn(TextDecoder.prototype, "decode")
    expect(message.text).toHaveLength(1600)
    expect(decode).not.toHaveBeenCalled()
    decode.mockRestore()
  })

  it("of a string is encoded when its bytes are asked for, once, and then is only its bytes", () => {
    const encode = vi.spyOn(TextEncoder.prototype, "encode")
    const message = Message.text("é")
    expect(message.text).toBe("é")
    expect(Message.compressed(message)).toHaveProperty("text", "é")
    expect(encode).not.toHaveBeenCalled()
    expect(message.bytes).toEqual(utf8("é"))
    encode.mockClear()
    expect(message.bytes).toBe(message.content)
    expect(message.length).toBe(2)
    expect(message.source).toBe(message.bytes)
    expect(encode).not.toHaveBeenCalled()
    // The string was let go of, so that what is kept to be sent is not held twice.
    const decode = vi.spyOn(TextDecoder.prototype, "decode")
    expect(message.text).toBe("é")
    expect(decode).toHaveBeenCalledTimes(1)
    decode.mockRestore()
    encode.mockRestore()
  })

  it("of text keeps a byte order mark, and has U+FFFD for a lone surrogate", () => {
    expect(new Message.Text(utf8("\ufeffa")).text).toBe("\ufeffa")
    expect(Message.text("\ud800").bytes).toEqual(utf8("\ufffd"))
    expect(Message.text("\ud800").text).toBe("\ufffd")
    expect(Message.compressed("\ud800")).toHaveProperty("text", "\ufffd")
  })
})
