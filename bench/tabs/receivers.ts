/** What runs in the pages that are measured: each opens a connection, and takes as many messages as it is told to. */
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as Client from "@millrace/core/messaging/Client"
import * as Contract from "@millrace/core/messaging/Contract"
import * as Session from "@millrace/core/messaging/Session"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { StandardSchemaV1 } from "effect/StandardSchema"
import * as Stream from "effect/Stream"
import { io } from "socket.io-client"

interface Said {
  readonly from: string
  readonly text: string
}

/** Asks for so many messages, and waits until they have come and were read. */
type Take = (count: number) => Promise<void>

/** Counts what was read: a message that is lost or is not what was sent ends the run. */
class Tally {
  private left = 0
  private done: (() => void) | undefined

  readonly read = ({ from, text }: Said): void => {
    if (from.length + text.length !== 79) throw new Error(`not what was sent: ${from} ${text}`)
    if (--this.left === 0) this.done?.()
  }

  expect(count: number): Promise<void> {
    this.left = count
    return new Promise((resolve) => (this.done = resolve))
  }
}

const scoped = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Scope.provide(effect, Scope.makeUnsafe()))

const isSaid = (value: unknown): value is Said =>
  typeof value === "object" &&
  value !== null &&
  "from" in value &&
  typeof value.from === "string" &&
  "text" in value &&
  typeof value.text === "string"

const standard = <A>(is: (value: unknown) => value is A): StandardSchemaV1<A> => ({
  "~standard": {
    version: 1,
    vendor: "page",
    validate: (value) => (is(value) ? { value } : { issues: [{ message: "something else was expected" }] })
  }
})

const plain = Contract.fromStandard("page", {
  version: "1",
  events: { said: standard(isSaid) },
  commands: { go: standard((value) => typeof value === "number") }
})

const schema = Contract.make("page", {
  version: "1",
  events: { said: Schema.Struct({ from: Schema.String, text: Schema.String }) },
  commands: { go: Schema.Number }
})

const client = async (contract: typeof schema, url: string): Promise<Take> => {
  const open = BrowserWebSocket.open(`${url}/session`, { subprotocols: Session.subprotocols() })
  const page = await scoped(Client.make(contract, open))
  const tally = new Tally()
  const read = Stream.runForEach(page.events("said"), (said) => Effect.sync(() => tally.read(said)))
  Effect.runFork(read)
  return (count) => {
    const done = tally.expect(count)
    return Effect.runPromise(page.emit("go", count)).then(() => done)
  }
}

const receivers: Readonly<Record<string, (url: string) => Promise<Take>>> = {
  bare: async (url) => {
    const socket = new WebSocket(`${url}/text`)
    const tally = new Tally()
    socket.addEventListener("message", ({ data }) => tally.read(JSON.parse(data)))
    await new Promise((resolve) => socket.addEventListener("open", resolve))
    return (count) => {
      socket.send(`${count}`)
      return tally.expect(count)
    }
  },
  messages: async (url) => {
    const connection = await scoped(BrowserWebSocket.open(`${url}/text`))
    const tally = new Tally()
    const read = Stream.runForEach(connection.messages, (message) =>
      Effect.sync(() => tally.read(JSON.parse(message._tag === "Text" ? message.text : "")))
    )
    Effect.runFork(read)
    return (count) => {
      const done = tally.expect(count)
      return Effect.runPromise(connection.send(`${count}`)).then(() => done)
    }
  },
  plain: (url) => client(plain as never, url),
  schema: (url) => client(schema, url),
  socketIo: async (url) => {
    const socket = io(url.replace("ws:", "http:"), { transports: ["websocket"] })
    const tally = new Tally()
    socket.on("said", tally.read)
    await new Promise<void>((resolve) => socket.on("connect", resolve))
    return (count) => {
      socket.emit("go", count)
      return tally.expect(count)
    }
  }
}

let take: Take | undefined

/** For the benchmark, which speaks to the page: opens the connection. */
export const open = async (receiver: string): Promise<void> => {
  take = await receivers[receiver]!(location.origin.replace("http:", "ws:"))
}

/** Takes so many messages. */
export const receive = (count: number): Promise<void> => take!(count)
