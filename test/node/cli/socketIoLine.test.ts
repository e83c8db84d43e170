/** What a person types to a server of Socket.IO. */
import * as fc from "fast-check"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as socketIoLine from "@millrace/node/cli/socketIoLine"

const read = (line: string) => Result.merge(socketIoLine.read(line))

describe("a line", () => {
  it.each([
    ["say", "say", []],
    ["say hi", "say", ["hi"]],
    [
      'say "hi there" 1 true null {"a": [1, "] }"]} [1, 2]',
      "say",
      ["hi there", 1, true, null, { a: [1, "] }"] }, [1, 2]]
    ],
    ['["say", "hi"]', "say", ["hi"]],
    ["  say\t1  ", "say", [1]],
    ['"two words" 1', "two words", [1]],
    ["say don't", "say", ["don't"]],
    ["42 tea", "42", ["tea"]],
    [String.raw`say "a\"b" c`, "say", ['a"b', "c"]],
    ['up {"base64":"AAH/"}', "up", [Uint8Array.of(0, 1, 255)]],
    ['up {"base64":"AA","more":1}', "up", [{ base64: "AA", more: 1 }]]
  ])("%s is an event", (line, name, args) => {
    expect(read(line)).toEqual({ _tag: "Emit", name, args })
  })

  it("that begins with ? is a question, and one that begins with ! is an answer", () => {
    expect(read("?upper tea")).toEqual({ _tag: "Ask", name: "upper", args: ["tea"] })
    expect(read('? ["upper", "tea"]')).toEqual({ _tag: "Ask", name: "upper", args: ["tea"] })
    expect(read("!")).toEqual({ _tag: "Answer", args: [] })
    expect(read('! {"ok": true} 2')).toEqual({ _tag: "Answer", args: [{ ok: true }, 2] })
  })

  it("of spaces is nothing", () => {
    expect(read(" \t ")).toBeUndefined()
  })

  it.each([
    ['say {"a": 1', 'this is not JSON: {"a": 1'],
    ['say "hi', 'this is not JSON: "hi'],
    ["[1,]", "this is not JSON: [1,]"],
    ["{} 1", 'an event begins with its name, as in: say "hi"'],
    ["[]", 'an event begins with its name, as in: say "hi"'],
    ["?", 'an event begins with its name, as in: say "hi"']
  ])("%s is answered with a sentence", (line, sentence) => {
    expect(read(line)).toBe(sentence)
  })

  it("of any words in JSON is what was typed, and any text is a line or a sentence", () => {
    const name = fc.string({ minLength: 1 }).filter((text) => text.trim() !== "")
    fc.assert(
      fc.property(name, fc.array(fc.jsonValue({ noUnicodeString: false })), (name, args) => {
        const typed = [name, ...args].map((value) => JSON.stringify(value)).join(" ")
        const again = args.map((value): unknown => JSON.parse(JSON.stringify(value)))
        expect(read(typed)).toEqual({ _tag: "Emit", name, args: again })
      })
    )
    fc.assert(fc.property(fc.string(), (text) => void read(text)))
    const scraps = fc.constantFrom('"', "{", "}", "[", "]", "\\", " ", "a", "1", ",", ":", "?", "!")
    fc.assert(fc.property(fc.string({ unit: scraps }), (text) => void read(text)))
  })
})

describe("what is shown", () => {
  it("is an array for an event and an object for an answer, with bytes in base64", () => {
    expect(socketIoLine.event("up", [Uint8Array.of(0, 1, 255), { of: [null] }])).toEqual([
      "up",
      { base64: "AAH/" },
      { of: [null] }
    ])
    expect(socketIoLine.answer("up", [Uint8Array.of(1)])).toEqual({ to: "up", answer: [{ base64: "AQ==" }] })
  })
})
