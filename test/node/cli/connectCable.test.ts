/** `millrace connect --as cable` as a process, against our own server. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Hub from "@millrace/core/cluster/Hub"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { run, start } from "../../support/command.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"

const serve = Effect.gen(function* () {
  const hub = yield* Hub.make()
  const ChatChannel: Channel.Channel = ({ params }) =>
    params["room"] === "secret"
      ? Channel.reject
      : Effect.succeed({
          topics: ["room"],
          perform: (action, data) => Effect.orDie(hub.publish("room", toJson({ action, ...data })))
        })
  const cable = yield* CableServer.make({ channels: { ChatChannel } })
  const { url } = yield* NodeWebSocketServer.serve(
    { host: "127.0.0.1", port: 0, subprotocols: CableServer.subprotocols },
    (connection) => Effect.provideService(cable.serve(connection, { user: "u", request: undefined }), Hub.Hub, hub)
  )
  return { hub, cable, url }
})

const cable = (...flags: ReadonlyArray<string>) => ["connect", ...flags, "--as", "cable"] as const

describe.concurrent("connect --as cable", () => {
  it.live("performs what is typed, and shows what comes as a line of JSON", () =>
    Effect.gen(function* () {
      const { cable: server, url } = yield* serve
      const command = yield* start(...cable(url, "--channel", "ChatChannel", "--params", '{"room":1}'))
      yield* command.reports(/^millrace: connected to \S+, in \{"channel":"ChatChannel","room":1\}; Ctrl-D ends it\n/)
      command.type('{"action":"speak","text":"\u009b"}\n\n{"text":"hi"}\n')
      yield* command.says(/^\{"action":"speak","text":"\\u009b"\}\n\{"action":"receive","text":"hi"\}\n$/)
      command.type('[1]\n{"action":7}\n')
      yield* command.reports(/millrace: not sent: this is not a JSON object: \[1\]\n/)
      yield* command.reports(/millrace: not sent: the name of an action is a string\n/)
      yield* server.disconnect("u", false)
      const { code, stderr } = yield* command.end
      expect([code, stderr.endsWith("millrace: the server has ended the connection: remote\n")]).toEqual([1, true])
    })
  )

  it.live("ends in order with what was piped into it", () =>
    Effect.gen(function* () {
      const { url } = yield* serve
      const command = yield* start(...cable(url, "--channel", "ChatChannel"))
      command.typeEnd('{"action":"speak"}\n')
      expect((yield* command.end).code).toBe(0)
    })
  )

  it.live("says why it does not talk", () =>
    Effect.gen(function* () {
      const { url } = yield* serve
      const nobody = `ws://127.0.0.1:${nobodysPort}`
      const refused = yield* Effect.all(
        [
          run(cable(url)),
          run(cable(url, "--channel", "ChatChannel", "--params", '{"room":"secret"}')),
          run(cable(url, "--channel", "ChatChannel", "--namespace", "/")),
          run(cable(nobody, "--channel", "ChatChannel")),
          run(["connect", url, "--channel", "ChatChannel"])
        ],
        { concurrency: 2 }
      )
      expect(refused.map(({ code, stderr }) => [code, stderr])).toEqual([
        [1, "millrace: --as cable needs a --channel\n"],
        [1, 'millrace: the server has rejected the subscription {"channel":"ChatChannel","room":"secret"}\n'],
        [1, "millrace: --namespace is not for --as cable\n"],
        [1, `millrace: nobody listens at ${nobody}\n`],
        [1, "millrace: --channel is for --as cable\n"]
      ])
    })
  )
})
