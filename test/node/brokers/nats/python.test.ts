/** Somebody publishes in another language, as docs/brokers/nats.md says. */
import { execFile, spawnSync } from "node:child_process"
import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import type { Delivery } from "@millrace/core/cluster/Broker"
import type { Text } from "@millrace/core/protocol/Message"
import * as NatsBroker from "@millrace/node/brokers/NatsBroker"
import { describeWith } from "../../../support/describeWith.ts"
import { eventually } from "../../../support/eventually.ts"
import { blocks, pages } from "../../../support/markdown.ts"
import { run } from "../../../support/natsLink.ts"
import { natsServer } from "../../../support/natsServer.ts"

const isThere = spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status === 0

const page = pages().find(({ name }) => name === "docs/brokers/nats.md")!
const script = blocks(page).find(({ language }) => language === "python")!.code

describeWith("nats-server")("A publisher in Python", () => {
  it.skipIf(!isThere)(
    `is heard by all nodes, once for each key${isThere ? "" : ": NOT RUN, there is no python3"}`,
    () =>
      run(
        Effect.gen(function* () {
          const server = yield* natsServer()
          const broker = yield* NatsBroker.make({ url: server.url, prefix: "chat" })
          const heard: Array<Delivery> = []
          const attachment = yield* broker.attach({ deliver: (delivery) => void heard.push(delivery), lost: () => {} })
          yield* attachment.subscribe("lobby")
          const python = Effect.callback<string>((resume) => {
            const child = execFile(
              "python3",
              ["-c", script.replace("4222", `${server.port}`)],
              (error, stdout, stderr) => resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(stderr)))
            )
            return Effect.sync(() => child.kill("SIGKILL"))
          })
          const first = yield* python
          yield* eventually(() => heard.length > 0)
          expect(
            heard.map(({ parcel, position, topic }) => [topic, position.offset, (parcel.message as Text).text])
          ).toEqual([["lobby", 1, "hello from Python"]])
          expect(first).toMatch(/'seq': 1\b/)
          expect(yield* python).toMatch(/'seq': 1, .*'duplicate': True/)
          expect((yield* broker.position).offset).toBe(1)
        })
      )
  )
})
