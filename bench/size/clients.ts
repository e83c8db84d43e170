/** What is bundled, what was promised of it, and what it may not exceed. */

export interface Client {
  /** Its file in `clients`. */
  readonly name: string
  readonly title: string
  /** What was promised, in kB, gzipped. */
  readonly target?: number
  /** What it may have, in kB: a little more than it has, so that what makes it grow is seen. None for what is not ours. */
  readonly budget?: number
}

export const clients: ReadonlyArray<Client> = [
  { name: "effect", title: "Effect alone: a scope, a callback, a stream" },
  { name: "webSocket", title: "`BrowserWebSocket`: messages, no contract", budget: 18.5 },
  { name: "typed", title: "`TypedMessages` over it: typed JSON, no contract, no Schema", target: 15, budget: 18.9 },
  { name: "session", title: "`Session`: contract of four messages, no Schema", target: 15, budget: 37.6 },
  { name: "client", title: "`Client`: the same, comes back", target: 15, budget: 42.6 },
  { name: "schema", title: "`Client`: contract of four messages with `effect/Schema`", target: 45, budget: 58.2 },
  { name: "eventSource", title: "`EventSource` over `fetch`", budget: 25.2 },
  { name: "browserEventSource", title: "`BrowserEventSource`: the same, with the life of the page", budget: 25.8 },
  { name: "nativeEventSource", title: "`NativeEventSource`: the platform's own", budget: 13 },
  { name: "hubStore", title: "`HubClient` with `IndexedDbHubStore`: survives a reload", budget: 38.9 },
  { name: "tabs", title: "`BrowserTabs`: a client of the hub, one connection for all tabs", budget: 41.9 },
  { name: "tabsWorker", title: "`BrowserTabsWorker`: the worker that has it", budget: 40.5 },
  { name: "socketIo", title: "`socket.io-client`" }
]
