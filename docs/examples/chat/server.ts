/** A room for everybody, on port 8080 or the one that is given. */
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import * as Session from "@millrace/core/messaging/Session"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Chat, NameTaken } from "./contract.ts"

interface Member {
  name: string
  readonly session: Session.Server<typeof Chat>
}

const members = new Set<Member>()
const lines: Array<{ readonly from: string; readonly text: string }> = []

/** One client, from its first message to its last. */
const serve = (session: Session.Server<typeof Chat>) =>
  Effect.gen(function* () {
    const member: Member = { name: `guest-${session.id.slice(0, 4)}`, session }
    yield* Effect.acquireRelease(
      Effect.sync(() => members.add(member)),
      () => Effect.sync(() => members.delete(member))
    )
    yield* session.handle({
      say: (text) => {
        const line = { from: member.name, text }
        lines.push(line)
        return Effect.forEach(members, ({ session }) => Effect.ignore(session.emit("said", line)), {
          concurrency: "unbounded",
          discard: true
        })
      },
      rename: (name) => {
        if ([...members].some((other) => other.name === name)) return Effect.fail(new NameTaken({ name }))
        member.name = name
        return Effect.void
      },
      history: () => Stream.fromIterable(lines.slice(-100))
    })
  })

const files = new Map([
  ["/", { type: "text/html; charset=utf-8", file: "index.html" }],
  ["/page.js", { type: "text/javascript", file: "page.js" }]
])

const main = Effect.gen(function* () {
  const server = createServer((request, response) => {
    const found = files.get(request.url ?? "")
    if (found === undefined) return void response.writeHead(404).end()
    response.setHeader("Content-Type", found.type).end(readFileSync(new URL(found.file, import.meta.url)))
  })
  const { port } = yield* NodeWebSocketServer.listen(server, { port: Number(process.argv[2] ?? 8080) })
  const chat = NodeWebSocketServer.route({ path: "/chat", subprotocols: Session.subprotocols() }, (connection) =>
    Effect.flatMap(Session.accept(Chat, connection), serve)
  )
  yield* NodeWebSocketServer.attach(server, [chat])
  yield* Console.log(`chat is at http://localhost:${port}/`)
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(main))
