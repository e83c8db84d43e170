/** What is said to a server of Action Cable, to see what it answers. */

export interface Golden {
  readonly name: string
  /** Who connects; nobody who may where it is not said. */
  readonly user?: string
  /** What the client says, as text; or what the server is told to do. */
  readonly steps: ReadonlyArray<string | ReadonlyArray<unknown>>
  /** How long it is waited first, in milliseconds. */
  readonly wait?: number
}

const I = (channel: string, params: object = {}) => JSON.stringify({ channel, ...params })
const chat = I("ChatChannel", { room: "lobby" })

const command = (command: string, identifier: unknown, more: object = {}) =>
  JSON.stringify({ command, identifier, ...more })
const subscribe = (identifier: unknown) => command("subscribe", identifier)
const perform = (data: unknown, identifier = chat) =>
  command("message", identifier, { data: typeof data === "string" ? data : JSON.stringify(data) })

export const goldens: ReadonlyArray<Golden> = [
  { name: "welcome and pings", user: "ada", steps: [], wait: 4_000 },
  {
    name: "conversation",
    user: "ada",
    steps: [
      subscribe(chat),
      perform({ action: "speak", text: "hé" }),
      perform({ action: "answer", with: { a: [1, null, true, "\u2028"] } }),
      ["broadcast", "chat/lobby", "from elsewhere"],
      ["broadcast", "chat/other", "not for it"],
      command("unsubscribe", chat),
      ["broadcast", "chat/lobby", "too late"],
      perform({ action: "speak", text: "too late" }),
      subscribe(chat),
      perform({ action: "speak", text: "again" })
    ]
  },
  {
    name: "two subscriptions",
    user: "ada",
    steps: [
      subscribe(I("ChatChannel", { room: "a", all: true })),
      subscribe(I("ChatChannel", { room: "b", all: true })),
      ["broadcast", "chat/a", 1],
      ["broadcast", "chat/b", 2],
      command("unsubscribe", I("ChatChannel", { room: "a", all: true })),
      ["broadcast", "all", 3],
      ["broadcast", "chat/a", 4]
    ]
  },
  {
    name: "values",
    user: "ada",
    steps: [
      subscribe(chat),
      ...[0, -1.5, "", "text", true, false, [], {}, [[{ a: { b: "c" } }]], { é: '\u0000\u0001"\\/' }, "🙂"].map(
        (value) => ["broadcast", "chat/lobby", value] as const
      )
    ]
  },
  {
    name: "identifiers as they were written",
    user: "ada",
    steps: [
      subscribe('{"room":"lobby","channel":"ChatChannel"}'),
      subscribe('{ "channel" : "ChatChannel", "room" : "lobby" }'),
      subscribe('{"channel":"ChatChannel","room":"lobb\\u0079"}'),
      ["broadcast", "chat/lobby", 1]
    ]
  },
  {
    name: "reject",
    user: "ada",
    steps: [
      subscribe(I("ChatChannel", { room: "secret" })),
      perform({ action: "speak", text: "in vain" }, I("ChatChannel", { room: "secret" })),
      subscribe(chat)
    ]
  },
  {
    name: "subscribed twice",
    user: "ada",
    steps: [subscribe(chat), subscribe(chat), perform({ action: "answer", with: 1 })]
  },
  {
    name: "no such channel",
    user: "ada",
    steps: [
      ...["NoSuchChannel", "NotAChannel", "Object", "Kernel", "constructor", "", " "].map((name) => subscribe(I(name))),
      subscribe("{}"),
      subscribe("[]"),
      subscribe("not JSON"),
      subscribe('{"channel":1}'),
      subscribe(I("ChatChannel", { room: "broken" })),
      subscribe(chat)
    ]
  },
  {
    name: "nonsense",
    user: "ada",
    steps: [
      "not JSON",
      "[]",
      "null",
      "{}",
      "7",
      command("dance", chat),
      JSON.stringify({ command: "subscribe" }),
      command("subscribe", 7),
      command("unsubscribe", chat),
      perform({ action: "speak" }),
      subscribe(chat),
      perform("not JSON"),
      perform("[]"),
      command("message", chat),
      command("message", chat, { data: { action: "answer", with: 1 } }),
      perform({ action: "answer", with: "still there" })
    ]
  },
  {
    name: "actions",
    user: "ada",
    steps: [
      subscribe(chat),
      perform({ text: "no name" }),
      perform({ action: "receive", text: "by its name" }),
      perform({ action: "", text: "blank" }),
      perform({ action: null, text: "null" }),
      perform({ action: "no_such_action" }),
      perform({ action: "hidden" }),
      perform({ action: "subscribed" }),
      perform({ action: "refuse" }),
      perform({ action: "answer", with: "still there" })
    ]
  },
  { name: "unauthorized", steps: [] },
  { name: "remote disconnect", user: "ada", steps: [subscribe(chat), ["disconnect", "bob"], ["disconnect", "ada"]] },
  { name: "server restart", user: "ada", steps: [subscribe(chat), ["restart"]] }
]
