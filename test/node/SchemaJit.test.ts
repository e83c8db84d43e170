/** Compiled schemas: the same as they were, faster, and there only where code may be generated. */
import { spawnSync } from "node:child_process"
import { deepStrictEqual } from "node:assert"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as v from "valibot"
import { afterEach, expect, it, vi } from "vitest"
import type * as Coder from "@millrace/core/messaging/Coder"
import * as Contract from "@millrace/core/messaging/Contract"
import * as SchemaJit from "@millrace/node/SchemaJit"
import { shapesWithValues } from "../support/schemas.ts"

const root = new URL("../..", import.meta.url)

afterEach(() => {
  vi.restoreAllMocks()
})

const sayOf = (contract: Contract.Contract): Coder.Coder<unknown> => {
  const coder = contract.says.client.get("say")
  if (coder === undefined) throw new Error("it does not say that")
  return coder.payload
}

const lineOf = () => Schema.Struct({ text: Schema.String, at: Schema.Date })

const wire = { text: "hello", at: "1970-01-01T00:00:00.000Z" }
const line = { text: "hello", at: new Date(0) }

it("is made when a schema is first used, of each schema that a contract has, in both directions", () => {
  const generated = vi.spyOn(globalThis, "Function")
  const contract = Contract.make("all", {
    credentials: lineOf(),
    events: { said: lineOf() },
    requests: { ask: { payload: lineOf(), success: lineOf(), error: lineOf() } },
    streams: { look: { payload: lineOf(), element: lineOf(), error: lineOf() } },
    serverRequests: { where: { success: lineOf() } }
  })
  expect(SchemaJit.compile(contract)).toBe(contract)
  const [ask, look, said, where] = ["ask", "look", "said", "where"].map(
    (name) => contract.says.client.get(name) ?? contract.says.server.get(name)
  )
  const coders = [
    contract.credentials,
    said?.payload,
    ...(ask?._tag === "Request" ? [ask.payload, ask.success, ask.error] : []),
    ...(look?._tag === "Stream" ? [look.payload, look.element, look.error] : []),
    ...(where?._tag === "Request" ? [where.success] : [])
  ]
  expect(coders.length).toBe(9)
  for (const coder of coders) {
    for (const code of [() => coder?.decode(wire), () => coder?.encode(line as never)]) {
      const before = generated.mock.calls.length
      expect(code()?._tag).toBe("Success")
      expect(generated.mock.calls.length).toBeGreaterThan(before)
    }
  }
})

it("is not made of a contract that nobody asks it for, nor of Standard Schemas", () => {
  const plain = Contract.make("plain", { commands: { say: lineOf() } })
  const standard = SchemaJit.compile(
    Contract.make("standard", {
      commands: { say: v.object({ text: v.string() }) },
      events: { said: Schema.toStandardSchemaV1(lineOf()) }
    })
  )
  const generated = vi.spyOn(globalThis, "Function")
  for (const contract of [plain, standard]) {
    expect(sayOf(contract).decode(wire)._tag).toBe("Success")
  }
  expect(standard.says.server.get("said")?.payload.decode(line)._tag).toBe("Success")
  expect(generated).not.toHaveBeenCalled()
})

it("codes any value of any schema as it was coded before, and refuses what was refused", () => {
  const wires = fc.anything({ withBigInt: true, withDate: true, withMap: true, withTypedArray: true })
  fc.assert(
    fc.property(shapesWithValues, wires, ([{ schema }, values], noise) => {
      const plain = sayOf(Contract.make("plain", { commands: { say: schema } }))
      const wires = values.map((value) => Result.getOrThrow(plain.encode(value as never)))
      const refused = Result.isFailure(plain.decode(noise))
      // Another schema of the same shape: what was compiled once stays as it was.
      const again = Schema.Struct({ in: schema })
      const compiled = sayOf(SchemaJit.compile(Contract.make("compiled", { commands: { say: again } })))
      values.forEach((value, i) => {
        deepStrictEqual(Result.getOrThrow(compiled.encode({ in: value } as never)), { in: wires[i] })
        deepStrictEqual(Result.getOrThrow(compiled.decode({ in: wires[i] })), { in: value })
      })
      expect(Result.isFailure(compiled.decode({ in: noise }))).toBe(refused)
    }),
    { numRuns: 300 }
  )
})

/** The same value with something else at a place in it. */
const spoiled = (value: unknown, path: ReadonlyArray<number>, noise: unknown): unknown => {
  const [at, ...rest] = path
  if (at === undefined || typeof value !== "object" || value === null || value instanceof Uint8Array) return noise
  const names = Object.keys(value)
  const name = names[at % names.length]
  if (name === undefined) return noise
  const inner = spoiled((value as Readonly<Record<string, unknown>>)[name], rest, noise)
  return Array.isArray(value) ? value.with(Number(name), inner) : { ...value, [name]: inner }
}

const told = (result: Result.Result<unknown, Coder.CodingError>): unknown =>
  Result.isSuccess(result) ? [result.success] : result.failure.message

it("says of what is wrong, wherever that is, what was said of it before", () => {
  const noises = fc.anything({ withBigInt: true, withDate: true, withMap: true, withTypedArray: true })
  const paths = fc.array(fc.nat(100), { maxLength: 4 })
  fc.assert(
    fc.property(shapesWithValues, noises, paths, ([{ schema }, values], noise, path) => {
      const plain = sayOf(Contract.make("plain", { commands: { say: Schema.Struct({ in: schema }) } }))
      const compiled = sayOf(
        SchemaJit.compile(Contract.make("compiled", { commands: { say: Schema.Struct({ in: schema }) } }))
      )
      for (const value of values) {
        const right = { in: value }
        const wrong = spoiled(right, [0, ...path], noise)
        const wire = spoiled(Result.getOrThrow(plain.encode(right as never)), [0, ...path], noise)
        expect(told(compiled.decode(wire))).toEqual(told(plain.decode(wire)))
        expect(told(compiled.encode(wrong as never))).toEqual(told(plain.encode(wrong as never)))
      }
    }),
    { numRuns: 300 }
  )
})

it("changes nothing where code cannot be generated", () => {
  const script = `
    import * as Result from "effect/Result"
    import * as Schema from "effect/Schema"
    import * as Contract from "@millrace/core/messaging/Contract"
    import * as SchemaJit from "@millrace/node/SchemaJit"
    let generates = true
    try { new Function("return 1") } catch { generates = false }
    const Line = Schema.Struct({ text: Schema.String, at: Schema.Date })
    const { says } = SchemaJit.compile(Contract.make("chat", { commands: { say: Line } }))
    const { decode, encode } = says.client.get("say").payload
    const line = Result.getOrThrow(decode(${JSON.stringify(wire)}))
    console.log(JSON.stringify([generates, line.at.getTime(), Result.getOrThrow(encode(line)), decode({})._tag]))
  `
  const run = (...flags: ReadonlyArray<string>) =>
    spawnSync(
      process.execPath,
      [
        "--disable-warning=ExperimentalWarning",
        "--conditions=@millrace/source",
        ...flags,
        "--input-type=module",
        "-e",
        script
      ],
      { cwd: root, encoding: "utf8" }
    )
  for (const [generates, flags] of [
    [true, []],
    [false, ["--disallow-code-generation-from-strings"]]
  ] as const) {
    const { stderr, stdout } = run(...flags)
    expect(stderr).toBe("")
    expect(JSON.parse(stdout)).toEqual([generates, 0, wire, "Failure"])
  }
})
