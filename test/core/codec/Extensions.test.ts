import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Extensions from "@millrace/core/codec/Extensions"
import { failureOf, prototypeNames } from "../../support/handshake.ts"

const parse = (value: string) => Result.getOrThrow(Extensions.parse(value))

describe("RFC 6455 9.1: Sec-WebSocket-Extensions", () => {
  it.each([
    ["deflate-stream", [{ name: "deflate-stream", params: [] }]],
    [
      "mux; max-channels=4; flow-control, deflate-stream",
      [
        {
          name: "mux",
          params: [
            ["max-channels", "4"],
            ["flow-control", undefined]
          ]
        },
        { name: "deflate-stream", params: [] }
      ]
    ],
    ["private-extension", [{ name: "private-extension", params: [] }]],
    [
      "foo, bar; baz=2",
      [
        { name: "foo", params: [] },
        { name: "bar", params: [["baz", "2"]] }
      ]
    ]
  ] as ReadonlyArray<[string, ReadonlyArray<Extensions.Extension>]>)(
    "the example %s, both ways",
    (value, extensions) => {
      expect(parse(value)).toEqual(extensions)
      expect(Extensions.print(extensions)).toEqual(Result.succeed(value))
    }
  )

  it.each([
    ["a quoted string", 'a; b="c"', [["b", "c"]]],
    ["a quoted pair", 'a; b="\\c\\d"', [["b", "cd"]]],
    [
      "white space wherever it may stand",
      '\t a \t;\tb \t=\t "c" \t; d ',
      [
        ["b", "c"],
        ["d", undefined]
      ]
    ],
    [
      "no white space",
      "a;b=c;d",
      [
        ["b", "c"],
        ["d", undefined]
      ]
    ],
    [
      "a repeated parameter",
      "a;b=1;b=2",
      [
        ["b", "1"],
        ["b", "2"]
      ]
    ],
    ["empty elements", ",, a;b=c ,\t,", [["b", "c"]]]
  ])("%s", (_, value, params) => {
    expect(parse(value)).toEqual([{ name: "a", params }])
  })

  it.each([
    ["nothing", ""],
    ["white space", " \t"],
    ["commas", ",,"],
    ["a parameter without an extension", "; a"],
    ["a semicolon at the end", "a;"],
    ["two semicolons", "a;;b"],
    ["a value without a name", "a;=b"],
    ["a name without a value", "a; b="],
    ["a name without a value, then another", "a; b=; c"],
    ["two values", "a; b=c=d"],
    ["two names", "a b"],
    ["two names of a parameter", "a; b c"],
    ["an empty quoted string", 'a; b=""'],
    ["a quoted string that is no token", 'a; b="c d"'],
    ["a quoted comma", 'a; b="c,d"'],
    ["a quoted quote", 'a; b="\\""'],
    ["a quoted string without an end", 'a; b="c'],
    ["a quoted string that ends in a backslash", 'a; b="c\\'],
    ["text after a quoted string", 'a; b="c"d'],
    ["a quoted name", '"a"'],
    ["a quoted name of a parameter", 'a; "b"=c'],
    ["a slash", "a/b"],
    ["a character outside ASCII", "\u00e9"],
    ["a control character", "a\u0000"],
    ["a line break", "a,\r\nb"],
    ["a no-break space", "a,\u00a0b"]
  ])("%s is refused, and the connection MUST be failed", (_, value) => {
    expect(failureOf(Extensions.parse(value))).toMatchObject({
      _tag: "MalformedHead",
      status: 400,
      clause: "RFC 6455 9.1"
    })
  })

  it.each(prototypeNames)("%s is a name like any other", (name) => {
    expect(parse(`${name}; ${name}=${name}`)).toEqual([{ name, params: [[name, name]] }])
  })
})

describe("Extensions limits", () => {
  it("32 extensions pass, one more is refused; empty elements count", () => {
    expect(parse(Array(32).fill("a").join(","))).toHaveLength(32)
    expect(failureOf(Extensions.parse(Array(33).fill("a").join(",")))).toMatchObject({ detail: "too many extensions" })
    expect(failureOf(Extensions.parse(`${",".repeat(32)}a`))).toMatchObject({ detail: "too many extensions" })
  })

  it("32 parameters pass, one more is refused", () => {
    expect(parse(`a${";b".repeat(32)}`)[0]?.params).toHaveLength(32)
    expect(failureOf(Extensions.parse(`a${";b".repeat(33)}`))).toMatchObject({
      detail: "too many extension parameters"
    })
  })

  it.each([
    ["white space", " "],
    ["tabs and spaces before a comma that never comes", "a", " \t"],
    ["one long token", "a"],
    ["a quoted string without an end", 'a;b="', "\\a"],
    ["commas", ","],
    ["semicolons", "a", ";a"],
    ["elements", 'a;b="c",'],
    ["the pattern that has cost other parsers exponential time", 'a;b="\\c\\', "c\\"]
  ])("64 KiB of %s take a few steps a character", (_, first, ...rest) => {
    const text = (first + (rest[0] ?? first).repeat(1 << 16)).slice(0, 1 << 16)
    let steps = 0
    const counted = new Proxy(Object(text) as object, {
      get: (target, property) => {
        steps++
        const found: unknown = Reflect.get(target, property)
        return typeof found === "function" ? found.bind(text) : property === "length" ? text.length : found
      }
    })
    const unlimited = { maxExtensions: Number.MAX_SAFE_INTEGER, maxParams: Number.MAX_SAFE_INTEGER }
    expect(Extensions.parse(counted as unknown as string, unlimited)).toEqual(Extensions.parse(text, unlimited))
    expect(steps).toBeGreaterThan(text.length)
    expect(steps).toBeLessThan(10 * text.length)
  })
})

describe("Extensions.print", () => {
  it("gives nothing for nothing", () => {
    expect(Extensions.print([])).toEqual(Result.succeed(""))
  })

  it.each(["", "a b", "a\r\nb", "a,b", "a;b", "a=b", '"a"', "a\u0085", "\u00e9"])("refuses %j anywhere", (text) => {
    for (const extension of [
      { name: text, params: [] },
      { name: "a", params: [[text, undefined]] },
      { name: "a", params: [["b", text]] }
    ] as ReadonlyArray<Extensions.Extension>) {
      expect(failureOf(Extensions.print([extension]))).toMatchObject({ _tag: "InvalidHead", part: "extension" })
    }
  })
})
