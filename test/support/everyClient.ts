/**
 * A page with the clients of all wires at once, each as its makers have it, on one topic: bundled for the page by
 * `page.ts`. Each has a column, in which the reader sees what it has heard.
 */
import { type Channel, createCable } from "@anycable/core"
// @ts-expect-error It has no types of its own.
import * as rails from "@rails/actioncable"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { io } from "socket.io-client"
// @ts-expect-error Its types are not among what it exports.
import { io as io3 } from "socket.io-client-3"
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as PageLife from "@millrace/browser/PageLife"
import * as HubClient from "@millrace/core/cluster/HubClient"

/** As much of `@rails/actioncable` as is used here. */
interface Consumer {
  readonly subscriptions: {
    readonly create: (
      channel: object,
      handlers: {
        readonly connected: () => void
        readonly disconnected: () => void
        readonly received: (data: unknown) => void
      }
    ) => { readonly perform: (action: string, data: object) => void }
  }
}

/** What the page is told of a client, and what it may ask of it. */
export class Column {
  /** What was published, in the order in which it was heard. */
  readonly heard: Array<unknown> = []
  /** What else the client has told, such as a gap. */
  readonly told: Array<string> = []
  readonly name: string
  isIn = false
  /** Over what it goes, where that changes. */
  way: () => string = () => ""
  /** Publishes, where the client can. */
  publish: ((data: ReadonlyArray<unknown>) => void) | undefined
  private readonly state: HTMLElement
  private readonly list: HTMLElement

  constructor(name: string) {
    this.name = name
    const column = document.createElement("section")
    const title = document.createElement("h2")
    title.textContent = name
    this.state = document.createElement("p")
    this.state.textContent = "connecting"
    this.list = document.createElement("ol")
    column.append(title, this.state, this.list)
    document.body.append(column)
  }

  readonly enter = (): void => this.show(true)
  readonly leave = (): void => this.show(false)

  private show(isIn: boolean): void {
    this.isIn = isIn
    this.state.textContent = isIn ? `connected ${this.way()}` : "away"
  }

  readonly hear = (data: unknown): void => {
    this.heard.push(data)
    const line = document.createElement("li")
    line.value = this.heard.length
    line.textContent = JSON.stringify(data)
    this.list.append(line)
    while (this.list.childElementCount > 12) this.list.firstElementChild?.remove()
  }
}

const sheet = `
  body { margin: 0; padding: 16px; display: grid; gap: 16px; font: 13px/1.5 system-ui, sans-serif;
         grid-template-columns: repeat(3, minmax(0, 1fr)); background: #f4f5f7; color: #1c2330 }
  section { background: #fff; border: 1px solid #d8dce3; border-radius: 6px; padding: 12px 16px; min-width: 0 }
  h2 { margin: 0; font-size: 15px } p { margin: 0 0 8px; color: #5b6575 }
  ol { margin: 0; padding-left: 32px } li { white-space: nowrap; overflow: hidden; text-overflow: ellipsis }`

const native = (column: Column, url: URL, topic: string): void => {
  const life = Effect.gen(function* () {
    const hub = yield* HubClient.make(
      BrowserWebSocket.open(url.href.replace("http", "ws"), { subprotocols: HubClient.subprotocols }),
      { reconnect: Schedule.spaced("100 millis"), surroundings: PageLife.surroundings }
    )
    const hear = Stream.runForEach(hub.subscribe(topic), (element) =>
      Effect.sync(() => {
        if (element._tag === "Message") column.hear(element.data)
        else if (element._tag === "Gap") column.told.push("gap")
        else if (element._tag === "Subscribed") column.enter()
      })
    )
    const look = Stream.runForEach(hub.states, ({ _tag }) =>
      Effect.sync(() => column[_tag === "Open" ? "enter" : "leave"]())
    )
    column.publish = (data) => void Effect.runFork(hub.publish(topic, data))
    yield* Effect.forkScoped(look)
    yield* Effect.forkScoped(hear)
  })
  Effect.runFork(Scope.provide(life, Scope.makeUnsafe()))
}

const eventSource = (column: Column, url: URL): void => {
  const source = new EventSource(url)
  source.addEventListener("open", column.enter)
  source.addEventListener("error", column.leave)
  source.addEventListener("message", ({ data }) => column.hear(JSON.parse(data as string).data))
  source.addEventListener("gap", () => column.told.push("gap"))
}

/** As much as all versions of it have in common. */
type SocketIo = Pick<ReturnType<typeof io>, "emit" | "io" | "on" | "onAny" | "recovered">

const socketIo = (column: Column, socket: SocketIo, topic: string): void => {
  column.way = () => `over ${socket.io.engine.transport.name}${socket.recovered === true ? ", where it was" : ""}`
  socket.on("connect", () => {
    socket.io.engine.once("upgrade", () => column.isIn && column.enter())
    if (socket.recovered === true) column.enter()
    else socket.emit("subscribe", topic, column.enter)
  })
  socket.on("disconnect", column.leave)
  // Behind what was said may stand the position, by which the client comes back.
  socket.onAny((...event: ReadonlyArray<unknown>) => column.hear(event.slice(0, 3)))
  column.publish = (data) => void socket.emit("publish", topic, ...data)
}

const railsCable = (column: Column, url: URL, topic: string): void => {
  const consumer: Consumer = rails.createConsumer(url.href)
  const subscription = consumer.subscriptions.create(
    { channel: "TopicChannel", topic },
    { connected: column.enter, disconnected: column.leave, received: column.hear }
  )
  column.publish = (data) => subscription.perform("publish", { data })
}

const anyCable = (column: Column, url: URL, topic: string): void => {
  const cable = createCable(url.href.replace("http", "ws"), {
    protocol: "actioncable-v1-ext-json",
    logLevel: "error",
    reconnectStrategy: () => 100
  } as never)
  const channel = cable.subscribeTo("TopicChannel", { topic }) as Channel
  channel.on("connect", column.enter)
  channel.on("disconnect", column.leave)
  // While it hopes to come back to its session, the channel says nothing: it is connecting.
  cable.on("disconnect", column.leave)
  channel.on("message", column.hear)
  channel.on("info", ({ type }) => void column.told.push(type))
  column.publish = (data) => void channel.perform("publish", { data })
}

const columns: Array<Column> = []

const add = (name: string): Column => {
  const column = new Column(name)
  columns.push(column)
  return column
}

/** Begins all clients of a hub, as in `http://localhost:8080`. Those of Socket.IO poll first, and go on over a WebSocket. */
export const start = (hub: string, topic: string): void => {
  document.head.append(Object.assign(document.createElement("style"), { textContent: sheet }))
  native(add("Millrace"), new URL("/ws", hub), topic)
  eventSource(add("EventSource"), new URL(`/events?topic=${encodeURIComponent(topic)}`, hub))
  // When the network goes while it is opening, it waits for `timeout` in vain: 20 s, where nothing is said.
  const options = { forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 500, timeout: 3_000 }
  socketIo(add("Socket.IO 4"), io(hub, options), topic)
  socketIo(add("Socket.IO 3"), io3(hub, options), topic)
  railsCable(add("Action Cable"), new URL("/cable", hub), topic)
  anyCable(add("AnyCable"), new URL("/cable", hub), topic)
}

/** Each of those that can publishes one. */
export const publish = (n: number, names: ReadonlyArray<string>): void => {
  for (const column of columns) if (names.includes(column.name)) column.publish?.(["said", column.name, n])
}

/** What there is in each column. */
export const look = () =>
  columns.map(({ heard, isIn, name, told, way }) => ({
    name,
    isIn,
    count: heard.length,
    last: JSON.stringify(heard.at(-1)),
    told,
    way: way()
  }))

export const heard = (): Readonly<Record<string, ReadonlyArray<unknown>>> =>
  Object.fromEntries(columns.map(({ heard, name }) => [name, heard]))
