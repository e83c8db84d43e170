/** docs/brokers/redis.md: the script that it hands out, its example for a shell, and the rights. */
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Scripts from "@millrace/node/brokers/redis/Scripts"
import { describeWith } from "../support/describeWith.ts"
import { eventually } from "../support/eventually.ts"
import { blocks, pages, root } from "../support/markdown.ts"
import { asker, opened } from "../support/redisLink.ts"
import { redisServer } from "../support/redisServer.ts"
import * as servers from "../support/servers.ts"

const page = pages().find(({ name }) => name === "docs/brokers/redis.md")!
const code = (language: string): string => blocks(page).find((block) => block.language === language)!.code

it("append.lua is the script that the nodes run", () => {
  expect(readFileSync(join(root, "docs/brokers/append.lua"), "utf8")).toBe(Scripts.append.text.trimStart())
})

/** Runs the example with the `redis-cli` that came with the server. Gives what it prints. */
const shell = (port: number): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const { command, env } = servers.find("redis-server")!
    const beside = dirname(command)
    const path = existsSync(join(beside, "redis-cli")) ? `${beside}${delimiter}` : ""
    const child = spawn("/bin/sh", ["-ec", code("sh").replace("redis-cli ", `redis-cli -p ${port} `)], {
      cwd: join(root, "docs/brokers"),
      env: { ...process.env, ...env, PATH: `${path}${process.env["PATH"]}` }
    })
    let said = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk))
    child.on("close", () => resume(Effect.succeed(said)))
  })

describeWith("redis-server")("docs/brokers/redis.md", () => {
  it.live("publishes from a shell what the nodes are told, once, also before there was a node", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      expect(yield* shell(port)).toMatch(/^0\n[0-9a-f]{32}\n1\n$/)
      const { appended, link } = yield* opened({ url, prefix: "chat" })
      yield* link.listen(["lobby"])
      expect((yield* shell(port)).split("\n")[0]).toBe("1")
      const tail = yield* link.since("lobby", { ...(yield* link.position), offset: 0 })
      expect(tail.gap).toBe(false)
      expect(tail.entries.map(({ bytes }) => bytes)).toHaveLength(1)
      yield* link.append("lobby", tail.entries[0]!.bytes, { producer: "shell", epoch: 1, sequence: 2 })
      const redis = yield* asker(port)
      yield* Effect.promise(() => redis.del("{chat}:producer:shell"))
      expect((yield* shell(port)).split("\n")).toEqual(["0", tail.to.epoch, "3", ""])
      yield* eventually(() => appended.length === 2)
      expect(appended.map(({ position, previous }) => [position.offset, previous])).toEqual([
        [2, 1],
        [3, 2]
      ])
      const { bytes } = appended[1]!
      const parcel = Parcel.decode(bytes)
      expect(parcel._tag === "Success" && parcel.success.message).toMatchObject({ text: "hello from a shell" })
    })
  )

  it.live("names rights that are enough", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const redis = yield* asker(port)
      const rights = code("text").trim().split(/\s+/)
      yield* Effect.promise(() => redis.call("ACL", "SETUSER", "ada", "reset", "on", ">pw", ...rights))
      const { appended, link } = yield* opened({ url: url.replace("//", "//ada:pw@") })
      yield* link.listen(["a"])
      yield* link.append("a", new Uint8Array(1), { producer: "p", epoch: 0, sequence: 0 })
      yield* link.since("a", undefined)
      yield* link.cast("a", new Uint8Array(1))
      link.unlisten(["b"])
      yield* eventually(() => appended.length === 1)
      yield* link.position
    })
  )
})
