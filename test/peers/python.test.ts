/** A reading of RFC 6455 that shares no code and no language with ours: `test/support/peer.py`. */
import { spawn, spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"

const script = fileURLToPath(new URL("../support/peer.py", import.meta.url))

/** 3.9 is the first that has all of what the script asks for. */
const isThere = spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status === 0

describe.skipIf(!isThere)(isThere ? "a client in Python" : "a client in Python: NOT RUN, there is no python3", () => {
  it.live("finds our server to be as it reads the RFC", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ limits: { maxMessageBytes: 4 << 20 } }, (connection) =>
        Stream.runForEach(connection.messages, connection.send)
      )
      const [code, said] = yield* Effect.callback<readonly [number | null, string]>((resume) => {
        const python = spawn("python3", ["-u", script, `${server.port}`], { timeout: 50_000 })
        let said = ""
        for (const stream of [python.stdout, python.stderr]) {
          stream.setEncoding("utf8").on("data", (chunk: string) => (said += chunk))
        }
        python.on("close", (code) => resume(Effect.succeed([code, said])))
        return Effect.sync(() => python.kill("SIGKILL"))
      })
      assert.match(said, /^seed \d+\nlengths\nfragments\nclosing\n$/)
      assert.strictEqual(code, 0)
    })
  )
})
