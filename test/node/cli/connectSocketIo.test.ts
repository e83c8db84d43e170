/** `millrace connect --as socketio` as a process, against Socket.IO's own server. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Server } from "socket.io"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { run, start } from "../../support/command.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"

const serve = Effect.acquireRelease(
  Effect.promise(async () => {
    const http = createServer()
    const io = new Server(http)
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve))
    return { io, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` }
  }),
  ({ io }) => Effect.promise(() => io.close())
)

const talk = (...flags: ReadonlyArray<string>) => start("connect", ...flags, "--as", "socketio")

describe.concurrent("connect --as socketio", () => {
  it.live("says what is typed, shows what comes as a line of JSON, and answers in both directions", () =>
    Effect.gen(function* () {
      const { io, url } = yield* serve
      io.of("/admin").on("connection", (socket) => {
        socket.emit("welcome", socket.handshake.auth, Buffer.from([0, 1, 255]), "\u001b[2J\u009b")
        socket.on("say", (...args) => socket.emit("said", ...args))
        socket.on("upper", (text: string, reply: (...args: Array<unknown>) => void) => reply(text.toUpperCase(), 1))
        socket.on("ask me", async () => socket.emit("thanks", await socket.emitWithAck("ready", 3)))
      })
      const command = yield* talk(url, "--namespace", "/admin", "--auth", '{"token":"t"}')
      yield* command.reports(/^millrace: connected to http:\/\/[\d.:]+, in \/admin as \S+; Ctrl-D ends it\n/)
      yield* command.says(/^\["welcome",\{"token":"t"\},\{"base64":"AAH\/"\},"\\u001b\[2J\\u009b"\]\n$/)
      command.type('say "hi" {"to": [1]} tea\n["say", 2]\n')
      yield* command.says(/\["said","hi",\{"to":\[1\]\},"tea"\]\n\["said",2\]\n$/)
      command.type('"ask me"\n')
      yield* command.reports(/millrace: the server asks "ready": answer with ! and values\n/)
      command.type("! yes\n!\n")
      yield* command.says(/\["ready",3\]\n\["thanks","yes"\]\n$/)
      yield* command.reports(/millrace: not sent: the server has asked nothing\n/)
      command.type("say {\nconnect\n")
      yield* command.reports(/millrace: not sent: this is not JSON: \{\n/)
      yield* command.reports(/millrace: not sent: not to be sent over Socket\.IO: an event with a reserved name\n/)
      command.typeEnd("?upper tea\n")
      const { code, stdout } = yield* command.end
      expect([code, stdout.endsWith('{"to":"upper","answer":["TEA",1]}\n')]).toEqual([0, true])
    })
  )

  it.live("says everything that was piped into it, and waits for its answers", () =>
    Effect.gen(function* () {
      const { io, url } = yield* serve
      let sum = 0
      io.on("connection", (socket) => {
        socket.on("add", (number: number) => void (sum += number))
        socket.on("sum", (reply: (sum: number) => void) => reply(sum))
      })
      const numbers = Array.from({ length: 2_000 }, (_, i) => `add ${i}\n`).join("")
      const { code, stdout } = yield* run(["connect", url, "--as", "socketio"], `${numbers}?sum\n`)
      expect([code, stdout]).toEqual([0, '{"to":"sum","answer":[1999000]}\n'])
    })
  )

  it.live.each(["polling", "polling,websocket", "websocket,polling"])(
    "goes over %s where it is told to",
    (transports) =>
      Effect.gen(function* () {
        const { io, url } = yield* serve
        const ways: Array<string> = []
        io.engine.on("connection", ({ transport }: { transport: { name: string } }) => void ways.push(transport.name))
        io.on("connection", (socket) => {
          socket.on("upper", (text: string, reply: (text: string) => void) => reply(text.toUpperCase()))
        })
        const flags = ["--as", "socketio", "--transports", transports]
        const { code, stdout } = yield* run(["connect", url, ...flags], "?upper tea\n")
        expect([code, stdout, ways]).toEqual([0, '{"to":"upper","answer":["TEA"]}\n', [transports.split(",")[0]]])
      })
  )

  it.live("says in a sentence that it is not let in, with what the server adds, and exits with 1", () =>
    Effect.gen(function* () {
      const { io, url } = yield* serve
      io.of("/admin").use((_, next) => next(Object.assign(new Error("who are\nyou?"), { data: { code: 7 } })))
      const { code, stderr, stdout } = yield* run(["connect", url, "--as", "socketio", "--namespace", "/admin"])
      expect([code, stdout]).toEqual([1, ""])
      expect(stderr).toBe('millrace: the server does not let us into /admin: who are\\nyou? {"code":7}\n')
    })
  )

  it.live("exits with 1 when it is put out, and with 0 when the server has ended in order", () =>
    Effect.gen(function* () {
      const { io, url } = yield* serve
      io.on("connection", (socket) => void socket.on("out", () => socket.disconnect()))
      const first = yield* talk(url)
      yield* first.reports(/connected/)
      first.type("out\n")
      const { code, stderr } = yield* first.end
      expect([code, stderr.split("\n")[1]]).toEqual([1, "millrace: the server has put us out of the namespace"])
      const second = yield* talk(url)
      yield* second.reports(/connected/)
      io.engine.close()
      const ended = yield* second.end
      expect([ended.code, ended.stderr.split("\n")[1]]).toEqual([0, "millrace: the server has ended the connection"])
    })
  )

  it.live("says that nobody listens, and that who listens speaks something else", () =>
    Effect.gen(function* () {
      const nobody = yield* run(["connect", `http://127.0.0.1:${nobodysPort}`, "--as", "socketio"])
      expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringMatching(/^millrace: nobody listens at http/)])
      const { port } = yield* NodeWebSocketServer.serve({}, (connection) =>
        Effect.andThen(connection.send("hello"), Stream.runDrain(connection.messages))
      )
      const other = yield* run(["connect", `http://127.0.0.1:${port}`, "--as", "socketio"])
      expect([other.code, other.stderr]).toEqual([
        1,
        expect.stringMatching(/^millrace: the server has broken a rule: /)
      ])
    })
  )

  it.live.each<readonly [flags: ReadonlyArray<string>, sentence: string]>([
    [["-b", "--as", "socketio"], "--binary is not for --as socketio"],
    [["-s", "chat", "--as", "socketio"], "--subprotocol is not for --as socketio"],
    [["--namespace", "/a"], "--namespace is for --as socketio"],
    [["--auth", "{}"], "--auth is for --as socketio"],
    [["--as", "socketio", "--auth", "[1]"], 'a JSON object, such as {"token":"123"}'],
    [["--as", "socketio", "--namespace", "admin"], "a name that begins with /"]
  ])("answers %j with a sentence", ([flags, sentence]) =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run(["connect", "http://127.0.0.1:1", ...flags])
      expect([code, stderr]).toEqual([1, expect.stringContaining(sentence)])
    })
  )
})
