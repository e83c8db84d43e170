import { chmodSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { folder } from "../../support/folder.ts"
import * as servers from "../../support/servers.ts"

/** Something that can be run, under that name. */
const executable = (name: string) =>
  Effect.map(folder, (path) => {
    writeFileSync(join(path, name), "#!/bin/sh\n")
    chmodSync(join(path, name), 0o755)
    return { path, command: join(path, name) }
  })

const naming = (path: string, variable = "REDIS_SERVER") =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = process.env[variable]
      process.env[variable] = path
      return before
    }),
    (before) =>
      Effect.sync(() => {
        if (before === undefined) delete process.env[variable]
        else process.env[variable] = before
      })
  )

it.live("takes the first server on the path that can be run", () =>
  Effect.gen(function* () {
    yield* naming("")
    const empty = yield* folder
    const shut = yield* executable("redis-server")
    chmodSync(shut.command, 0o644)
    const first = yield* executable("redis-server")
    const second = yield* executable("redis-server")
    const found = servers.find("redis-server", [empty, shut.path, first.path, second.path])
    assert.deepStrictEqual(found, { command: first.command, env: {} })
  })
)

it.live("takes the one that the environment names before all others, or says that it cannot be run", () =>
  Effect.gen(function* () {
    const named = yield* executable("a-redis-of-mine")
    const other = yield* executable("redis-server")
    yield* naming(named.command)
    assert.deepStrictEqual(servers.find("redis-server", [other.path]), { command: named.command, env: {} })
    chmodSync(named.command, 0o644)
    assert.throws(() => servers.find("redis-server", [other.path]), /^\$REDIS_SERVER names .*a-redis-of-mine, which/)
  })
)

it.live("has nothing to fetch and nothing to say when all are there", () =>
  Effect.gen(function* () {
    const mine = yield* executable("mine")
    for (const variable of Object.values(servers.variables)) yield* naming(mine.command, variable)
    const said: Array<string> = []
    assert.deepStrictEqual([...servers.provide((line) => said.push(line))], [])
    assert.deepStrictEqual(said, [])
  })
)

it("says at each test that starts a server that it needs one, so that it is skipped where there is none", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url))
  const starts = { "redis-server": "redisServer", "nats-server": "natsServer" } satisfies Record<servers.Name, string>
  for (const file of readdirSync(root, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".test.ts")) continue
    const source = readFileSync(join(root, file), "utf8")
    for (const name of servers.names) {
      if (!source.includes(`/support/${starts[name]}.ts"`)) continue
      assert.match(source, new RegExp(`describeWith(Channels\\(|\\([^)]*"${name}")`), `${file} starts a ${name}`)
    }
  }
})
