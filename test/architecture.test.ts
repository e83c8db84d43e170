/**
 * The plan of the house, as a test: in packages/core an import may point to the same layer or to one that is lower,
 * the pure layers know nothing of Effect's runtime, and packages reach each other only in one direction.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { describe, expect, it } from "vitest"

const packages = join(import.meta.dirname, "../packages")
const core = join(packages, "core/src")

/** Lowest first. */
const layers = ["codec", "protocol", "connection", "messaging", "cluster", "interop"]

/** All that a pure layer may import from Effect. */
const pure: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["codec", ["effect/Data", "effect/Result"]],
  ["protocol", ["effect/Data", "effect/Result"]]
])

/**
 * What other systems say is read and written by rules that are as pure as a codec, and stand on nothing but codecs, so
 * that a client or a server of any kind can have them.
 */
const pureInterop = /^interop\/[a-z]+\/(Packet|[A-Za-z]+Protocol)\.ts$/

/** What Effect's own tags call unstable may break in a minor release: core stands on the rest. */
const unstable = /^effect\/(socket|http|http-api|rpc|cluster|cli|encoding|persistence|workflow|ai)(\/|$)/

/** What stands on a library besides Effect: one file for each, so that who does not import it does not need it. */
const libraries: ReadonlyMap<string, string> = new Map([["messaging/MessagePackCodec.ts", "msgpackr/pack"]])

/** The libraries of servers that others run: each is imported where its broker is, and where others meet us at that server. */
const clients: ReadonlyArray<readonly [room: RegExp, library: RegExp]> = [
  [/^(brokers\/(Redis|redis\/)|interop\/Redis)/, /^ioredis$/],
  [/^brokers\/(Nats|nats\/)/, /^@nats-io\/(transport-node|jetstream)$/]
]

const sourcesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /(?<!\.d)\.ts$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))

const importsOf = (file: string): ReadonlyArray<string> =>
  [...readFileSync(file, "utf8").matchAll(/^(?:import|export)\s[^"]*?from "([^"]+)"|^import "([^"]+)"/gms)].map(
    (match) => match[1] ?? match[2] ?? ""
  )

const layerOf = (file: string) => relative(core, file).split("/")[0] ?? ""

const names = (folder: string) => sourcesOf(folder).map((file) => relative(folder, file))

describe("packages/core", () => {
  it.each(names(core))("%s is in a layer and imports only what that layer may", (name) => {
    const file = join(core, name)
    const layer = layerOf(file)
    expect(layers).toContain(layer)
    const allowed = pureInterop.test(name) ? pure.get("codec") : pure.get(layer)
    const wrong = importsOf(file).filter((specifier) => {
      if (specifier.startsWith(".")) {
        const imported = join(dirname(file), specifier)
        if (pureInterop.test(name)) return layerOf(imported) !== "codec" && !pureInterop.test(relative(core, imported))
        return layers.indexOf(layerOf(imported)) > layers.indexOf(layer)
      }
      if (allowed !== undefined) return !allowed.includes(specifier)
      if (libraries.get(name) === specifier) return false
      if (specifier === "effect/Schema") return layers.indexOf(layer) < layers.indexOf("messaging")
      return !specifier.startsWith("effect/") || unstable.test(specifier)
    })
    expect(wrong).toEqual([])
  })
})

describe("packages/node", () => {
  it.each(names(join(packages, "node/src")))("%s runs on no other WebSocket library and takes no barrel", (name) => {
    const wrong = importsOf(join(packages, "node/src", name)).filter(
      (specifier) =>
        !/^(\.|node:|effect\/|@effect\/platform-node\/|@millrace\/(core|browser)\/)/.test(specifier) &&
        !clients.some(([room, library]) => room.test(name) && library.test(specifier))
    )
    expect(wrong).toEqual([])
  })
})

describe("packages/browser", () => {
  it.each(names(join(packages, "browser/src")))("%s stands on core, and on what Effect calls stable", (name) => {
    const wrong = importsOf(join(packages, "browser/src", name)).filter(
      (specifier) =>
        !/^(\.|effect\/|@millrace\/core\/(codec|protocol|connection|messaging|cluster)\/)/.test(specifier) ||
        specifier === "effect/Schema" ||
        unstable.test(specifier)
    )
    expect(wrong).toEqual([])
  })
})
