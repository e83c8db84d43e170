import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Cable from "@millrace/core/interop/actioncable/CableProtocol"
import * as Packet from "@millrace/core/interop/actioncable/Packet"

type Step = (state: Cable.State) => Cable.Transition

/** Each action in a line. */
const said = (action: Cable.Action): string => {
  switch (action._tag) {
    case "Send":
      return Result.getOrThrow(Packet.encodeTransmission(action.transmission))
    case "Subscribe":
      return `subscribe ${action.attempt} ${action.channel} ${JSON.stringify(action.params)}`
    case "Restore":
    case "Unsubscribe":
      return `${action._tag.toLowerCase()} ${action.attempt}`
    case "Tell":
      return `tell ${action.attempt} ${action.said._tag === "Perform" ? action.said.action : action.said._tag}`
    case "Ignore":
      return `ignore: ${action.violation.detail}`
    default:
      return action._tag
  }
}

/** What the last of these steps calls for. */
const lastOf = (...steps: ReadonlyArray<Step>) => {
  let state = Cable.open
  let actions: ReadonlyArray<Cable.Action> = []
  for (const step of steps) [state, actions] = step(state)
  return actions.map(said)
}

const chat = '{"channel":"Chat"}'
const news = '{"channel":"News","id":1}'

const say =
  (command: string, identifier: string, more: object = {}, config?: Cable.Config): Step =>
  (state) =>
    Cable.receive(state, JSON.stringify({ command, identifier, ...more }), config)

const subscribe = (identifier = chat, config?: Cable.Config) => say("subscribe", identifier, {}, config)
const unsubscribe = say("unsubscribe", chat)
const perform = (action: string, config?: Cable.Config) =>
  say("message", chat, { data: JSON.stringify({ action }) }, config)

const accept: Step = (state) => Cable.accept(state)

const confirm =
  (attempt: number, identifier = chat): Step =>
  (state) =>
    Cable.confirm(state, identifier, attempt)

const reject =
  (attempt: number): Step =>
  (state) =>
    Cable.reject(state, chat, attempt)

const transmit =
  (attempt: number): Step =>
  (state) =>
    Cable.transmit(state, attempt, { _tag: "Message", identifier: chat, message: 1, position: undefined })

const disconnect: Step = (state) => Cable.disconnect(state, "remote", true)

const pingDue =
  (config?: Cable.Config): Step =>
  (state) =>
    Cable.pingDue(state, 7, config)

const quoted = JSON.stringify(chat)
const confirmed = `{"identifier":${quoted},"type":"confirm_subscription"}`
const rejected = `{"identifier":${quoted},"type":"reject_subscription"}`
const transmitted = `{"identifier":${quoted},"message":1}`

describe("a connection", () => {
  it("begins with a welcome, and then hears what was said before", () => {
    expect(lastOf(subscribe())).toEqual([])
    expect(lastOf(accept)).toEqual(['{"type":"welcome"}', "SetPing"])
    expect(lastOf(subscribe(), unsubscribe, accept)).toEqual([
      '{"type":"welcome"}',
      "SetPing",
      "subscribe 1 Chat {}",
      "unsubscribe 1"
    ])
    expect(lastOf(accept, accept)).toEqual([])
  })

  it("may be refused", () => {
    expect(lastOf(subscribe(), (state) => Cable.disconnect(state, "unauthorized", false))).toEqual([
      '{"type":"disconnect","reason":"unauthorized","reconnect":false}',
      "Close"
    ])
  })

  it("keeps so many commands before the welcome, and ignores the others", () => {
    const many = Array.from({ length: 64 }, () => subscribe())
    const ignored = ["ignore: too many commands for what is not there yet"]
    expect(lastOf(...many)).toEqual([])
    expect(lastOf(...many, subscribe(news))).toEqual(ignored)
    const config = { maxEarlyCommands: 1 }
    expect(lastOf(subscribe(chat, config), subscribe(news, config))).toEqual(ignored)
  })

  it("takes no notice of what it cannot read, and stays", () => {
    expect(lastOf(accept, (state) => Cable.receive(state, "{"))).toEqual(["ignore: a message that is no JSON object"])
    expect(lastOf(accept, say("fly", chat))).toEqual(["ignore: a command that nobody knows"])
    expect(lastOf((state) => Cable.receive(state, "{"))).toEqual(["ignore: a message that is no JSON object"])
    expect(lastOf(accept, say("fly", chat), subscribe())).toEqual(["subscribe 1 Chat {}"])
  })

  it("pings, and ends where a pong is wanted and none comes", () => {
    const pinged = ['{"type":"ping","message":7}', "SetPing"]
    const config = { extended: true, pongs: true }
    const pong: Step = (state) => Cable.receive(state, '{"command":"pong"}', config)
    expect(lastOf(accept, pingDue(), pingDue())).toEqual(pinged)
    expect(lastOf(accept, pingDue(config), pong, pingDue(config))).toEqual(pinged)
    expect(lastOf(accept, pingDue(config), pingDue(config))).toEqual([
      '{"type":"disconnect","reason":"no_pong","reconnect":true}',
      "Close"
    ])
    expect(lastOf(pingDue())).toEqual([])
  })

  it("goes on with a session, whose subscriptions stand", () => {
    const restore: Step = (state) => Cable.accept(state, { sid: "a", restored: [chat, news, chat] })
    expect(lastOf(restore)).toEqual([
      "restore 1",
      "restore 2",
      `{"type":"welcome","sid":"a","restored":true,"restored_ids":[${quoted},${JSON.stringify(news)}]}`,
      "SetPing"
    ])
    expect(lastOf(restore, transmit(1))).toEqual([transmitted])
    expect(lastOf(restore, unsubscribe, subscribe())).toEqual(["subscribe 3 Chat {}"])
  })

  it("ends for each of its subscriptions, and for good", () => {
    const two = [accept, subscribe(), confirm(1), subscribe(news)]
    expect(lastOf(...two, disconnect)).toEqual([
      "unsubscribe 1",
      "unsubscribe 2",
      '{"type":"disconnect","reason":"remote","reconnect":true}',
      "Close"
    ])
    expect(lastOf(...two, Cable.ended)).toEqual(["unsubscribe 1", "unsubscribe 2"])
    for (const step of [accept, subscribe(), confirm(1), reject(1), transmit(1), pingDue(), disconnect, Cable.ended]) {
      expect(lastOf(...two, disconnect, step)).toEqual([])
    }
  })
})

describe("a subscription", () => {
  it("is confirmed by its channel, or rejected", () => {
    expect(lastOf(accept, subscribe(news))).toEqual(['subscribe 1 News {"id":1}'])
    expect(lastOf(accept, subscribe(), confirm(1))).toEqual([confirmed])
    expect(lastOf(accept, subscribe(), reject(1))).toEqual([rejected])
    expect(lastOf(accept, subscribe(), confirm(1), confirm(1))).toEqual([])
    expect(lastOf(accept, subscribe(), reject(1), confirm(1))).toEqual([])
    expect(lastOf(accept, subscribe(), reject(1), subscribe())).toEqual(["subscribe 2 Chat {}"])
    expect(lastOf(accept, subscribe(), confirm(1), reject(1))).toEqual([rejected])
  })

  it("that is asked for again is confirmed again, when it is, and asked for once", () => {
    expect(lastOf(accept, subscribe(), subscribe())).toEqual([])
    expect(lastOf(accept, subscribe(), confirm(1), subscribe())).toEqual([confirmed])
  })

  it("is another for another identifier, though it means the same", () => {
    expect(lastOf(accept, subscribe(), subscribe('{ "channel": "Chat" }'))).toEqual(["subscribe 2 Chat {}"])
  })

  it("is rejected when its identifier means nothing", () => {
    expect(lastOf(accept, subscribe("Chat"))).toEqual(['{"identifier":"Chat","type":"reject_subscription"}'])
    expect(lastOf(accept, subscribe("__proto__"))).toEqual(['{"identifier":"__proto__","type":"reject_subscription"}'])
  })

  it("is rejected when there are too many", () => {
    const config = { maxSubscriptions: 1 }
    expect(lastOf(accept, subscribe(news, config), subscribe(chat, config))).toEqual([rejected])
    expect(lastOf(accept, subscribe(chat, config), unsubscribe, subscribe(chat, config))).toEqual([
      "subscribe 2 Chat {}"
    ])
    const many = Array.from({ length: 1_000 }, (_, i) => subscribe(`{"channel":"${i}"}`))
    expect(lastOf(accept, ...many.slice(1), subscribe())).toEqual(["subscribe 1000 Chat {}"])
    expect(lastOf(accept, ...many, subscribe())).toEqual([rejected])
  })

  it("ends without an answer, and gets nothing of what comes late", () => {
    expect(lastOf(accept, subscribe(), confirm(1), unsubscribe)).toEqual(["unsubscribe 1"])
    expect(lastOf(accept, subscribe(), unsubscribe)).toEqual(["unsubscribe 1"])
    expect(lastOf(accept, subscribe(), unsubscribe, confirm(1))).toEqual([])
    expect(lastOf(accept, unsubscribe)).toEqual(["ignore: a command without a subscription"])
    const again = [accept, subscribe(), unsubscribe, subscribe()]
    expect([lastOf(...again, confirm(1)), lastOf(...again, reject(1)), lastOf(...again, transmit(1))]).toEqual([
      [],
      [],
      []
    ])
    expect(lastOf(...again, confirm(2))).toEqual([confirmed])
  })

  it("is told what is for it, also before it is confirmed, and nothing after its end", () => {
    expect(lastOf(accept, subscribe(), confirm(1), transmit(1))).toEqual([transmitted])
    expect(lastOf(accept, subscribe(), transmit(1))).toEqual([transmitted])
    expect(lastOf(accept, subscribe(), confirm(1), unsubscribe, transmit(1))).toEqual([])
    expect(lastOf(accept, transmit(1))).toEqual([])
  })

  it("hears what is said to it, when it is confirmed", () => {
    expect(lastOf(accept, perform("a"))).toEqual(["ignore: a command without a subscription"])
    expect(lastOf(accept, subscribe(), confirm(1), perform("a"))).toEqual(["tell 1 a"])
    expect(lastOf(accept, subscribe(), perform("a"))).toEqual([])
    expect(lastOf(accept, subscribe(), perform("a"), perform("b"), confirm(1))).toEqual([
      confirmed,
      "tell 1 a",
      "tell 1 b"
    ])
    expect(lastOf(accept, subscribe(), perform("a"), reject(1))).toEqual([rejected])
    const whisper = say("whisper", chat, { data: 1 }, { extended: true })
    expect(lastOf(accept, subscribe(), confirm(1), whisper)).toEqual(["tell 1 Whisper"])
  })

  it("is kept so many commands before it is confirmed, whatever becomes of it", () => {
    const config = { maxEarlyCommands: 1 }
    const early = [accept, subscribe(), perform("a", config)]
    expect(lastOf(...early, perform("b", config))).toEqual(["ignore: too many commands for what is not there yet"])
    expect(lastOf(...early, reject(1), subscribe(), perform("c", config), confirm(2))).toEqual([confirmed, "tell 2 c"])
    expect(lastOf(...early, unsubscribe, subscribe(), perform("c", config), confirm(2))).toEqual([
      confirmed,
      "tell 2 c"
    ])
    const other = [subscribe(news), say("message", news, { data: "{}" }, config), confirm(2, news)]
    expect(lastOf(...early, confirm(1), ...other)).toHaveLength(2)
  })
})

it("stands whatever happens, says welcome first, and each subscription has one end", () => {
  const identifier = fc.constantFrom(chat, news, "x")
  const attempt = fc.integer({ min: 1, max: 6 })
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.constant(accept),
    { weight: 4, arbitrary: identifier.map((of) => subscribe(of)) },
    identifier.map((of) => say("unsubscribe", of)),
    fc.constantFrom(perform("a"), perform("b", { maxEarlyCommands: 2 })),
    { weight: 3, arbitrary: fc.tuple(identifier, attempt).map(([of, n]) => confirm(n, of)) },
    attempt.map(reject),
    attempt.map(transmit),
    fc.constant(pingDue()),
    fc.string().map(
      (text): Step =>
        (state) =>
          Cable.receive(state, text)
    ),
    fc.constantFrom(disconnect, Cable.ended)
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let state = Cable.open
      const live = new Set<number>()
      let isWelcome = false
      for (const one of steps) {
        const wasClosed = state._tag === "Closed"
        const [next, actions] = one(state)
        if (wasClosed) expect(actions).toEqual([])
        for (const action of actions) {
          if (action._tag === "Send") {
            const { _tag } = action.transmission
            expect(isWelcome || _tag === "Welcome" || _tag === "Disconnect").toBe(true)
            if (_tag === "Welcome") isWelcome = true
          }
          if (action._tag === "Subscribe") {
            expect(live.has(action.attempt)).toBe(false)
            live.add(action.attempt)
          }
          if (action._tag === "Unsubscribe") expect(live.delete(action.attempt)).toBe(true)
          if (action._tag === "Tell") expect(live.has(action.attempt)).toBe(true)
        }
        if (next._tag === "Open") {
          const known = [...next.subscriptions.values()]
          // A rejected one is over without being told so.
          for (const number of live) if (!known.some((one) => one.attempt === number)) live.delete(number)
          expect(known.length).toBe(live.size)
          expect(next.early).toBe(known.reduce((sum, { early = [] }) => sum + early.length, 0))
        }
        if (next._tag === "Closed") expect(live.size).toBe(0)
        state = next
      }
    }),
    { numRuns: 2000 }
  )
})
