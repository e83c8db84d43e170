/** The numbers in our pages are those of the code. */
import { readFileSync } from "node:fs"
import * as Duration from "effect/Duration"
import { describe, expect, it } from "vitest"
import * as Broker from "@millrace/core/cluster/Broker"
import * as CatchUp from "@millrace/core/cluster/CatchUp"
import * as Cluster from "@millrace/core/cluster/Cluster"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as History from "@millrace/core/cluster/History"
import * as CablePacket from "@millrace/core/interop/actioncable/Packet"
import * as CableProtocol from "@millrace/core/interop/actioncable/CableProtocol"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as CableSession from "@millrace/core/interop/actioncable/CableSession"
import * as CableSessions from "@millrace/core/interop/actioncable/CableSessions"
import * as CableToken from "@millrace/core/interop/actioncable/CableToken"
import * as LayerMessage from "@millrace/core/interop/channels/LayerMessage"
import * as EnginePacket from "@millrace/core/interop/engineio/Packet"
import * as EngineProtocol from "@millrace/core/interop/engineio/EngineProtocol"
import * as EngineServer from "@millrace/core/interop/engineio/EngineServer"
import * as Emission from "@millrace/core/interop/socketio/Emission"
import * as KeptEvents from "@millrace/core/interop/socketio/KeptEvents"
import * as SocketPacket from "@millrace/core/interop/socketio/Packet"
import * as SocketProtocol from "@millrace/core/interop/socketio/SocketProtocol"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as NodeChannelsLayer from "@millrace/node/NodeChannelsLayer"
import * as SocketIoEmitters from "@millrace/node/SocketIoEmitters"
import * as IndexedDbHubStore from "@millrace/browser/IndexedDbHubStore"
import * as HubClient from "@millrace/core/cluster/HubClient"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as HubPresence from "@millrace/core/cluster/HubPresence"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Producers from "@millrace/core/cluster/Producers"
import * as SlowConsumer from "@millrace/core/cluster/SlowConsumer"
import * as Spoken from "@millrace/core/cluster/Spoken"
import * as Subscription from "@millrace/core/cluster/Subscription"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import * as EventStream from "@millrace/core/codec/EventStream"
import * as EventStreamMessages from "@millrace/core/codec/EventStreamMessages"
import * as Extensions from "@millrace/core/codec/Extensions"
import * as Frame from "@millrace/core/codec/Frame"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import * as Compression from "@millrace/core/connection/Compression"
import * as Limits from "@millrace/core/connection/Limits"
import * as PostLink from "@millrace/core/connection/PostLink"
import * as Reconnect from "@millrace/core/connection/Reconnect"
import * as Outbox from "@millrace/core/messaging/Outbox"
import * as Repeats from "@millrace/core/messaging/Repeats"
import * as SessionLimits from "@millrace/core/messaging/SessionLimits"
import * as EventSourceProtocol from "@millrace/core/protocol/EventSourceProtocol"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeEventStream from "@millrace/node/NodeEventStream"
import * as Sessions from "@millrace/node/Sessions"
import * as Http2 from "@millrace/node/client/Http2"
import * as Upgrade from "@millrace/node/Upgrade"
import { root, rows, section } from "../support/markdown.ts"

const read = (name: string) => readFileSync(`${root}${name}`, "utf8")
const limits = read("docs/limits.md")
const closing = read("docs/closing.md")

/** The default in the row of a limit. */
const standard = (title: string, row: string) => rows(limits, title).find(([first]) => first === row)?.[1]

const bytes = (n: number) => {
  if (n >= 1_048_576) return `${n / 1_048_576} MiB`
  return n >= 65_536 ? `${n / 1_024} KiB` : n.toLocaleString("en")
}

const shown = (value: Duration.Input | number | undefined, name: string) => {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return "see there"
  return typeof value === "number"
    ? name === "maxFragments"
      ? value.toLocaleString("en")
      : bytes(value)
    : seconds(value)
}

const yes = (is: boolean) => (is ? "yes" : "no")

const seconds = (value: Duration.Input) => `${Duration.toSeconds(value)} s`

const count = (value: Duration.Input) => (typeof value === "number" ? value.toLocaleString("en") : seconds(value))

/** A default that the code has written where it is needed, and not as a value. */
const written = (file: string, pattern: RegExp) => pattern.exec(read(file))?.[1]

describe("docs/limits.md", () => {
  it("has every limit of a connection, with its default", () => {
    const ofPage = rows(limits, "Of a connection").map(([option, standard]) => [option, standard])
    expect(ofPage).toEqual(Object.entries(Limits.defaults).map(([name, value]) => [`\`${name}\``, shown(value, name)]))
  })

  it("has the limits of a client of the hub, with their defaults", () => {
    const ofPage = new Map(rows(limits, "Of a client of the hub").map(([option, standard]) => [option, standard]))
    const { capacity, capacityLength, maxMessageBytes, maxUnanswered, timeout, window } = HubClient.defaults
    expect(ofPage).toEqual(
      new Map([
        ["`capacity`", capacity.toLocaleString("en")],
        ["`capacityLength`", bytes(capacityLength)],
        ["`maxUnanswered`", maxUnanswered.toLocaleString("en")],
        ["`maxMessageBytes`", bytes(maxMessageBytes)],
        ["`window`", seconds(window)],
        ["`timeout`", seconds(timeout)]
      ])
    )
  })

  it("has the limits of what survives a reload, with their defaults", () => {
    const ofPage = new Map(rows(limits, "Of what survives a reload").map(([option, standard]) => [option, standard]))
    const { capacity, maxBytes, maxPositions, timeout, wait } = IndexedDbHubStore.defaults
    expect(ofPage).toEqual(
      new Map([
        ["`capacity`", capacity.toLocaleString("en")],
        ["`maxBytes`", bytes(maxBytes)],
        ["`maxPositions`", maxPositions.toLocaleString("en")],
        ["`wait`", seconds(wait)],
        ["`timeout`", seconds(timeout)]
      ])
    )
  })

  it("has every option of a rate", () => {
    const source = read("packages/core/src/protocol/TokenBucket.ts").split("export interface Options {")[1]!
    const options = [...source.split("\n}")[0]!.matchAll(/readonly (\w+)\?/g)].map(([, name]) => `\`${name}\``)
    expect(options.length).toBeGreaterThan(0)
    expect(rows(limits, "Of what comes in a second").map(([option]) => option)).toEqual(options)
  })

  it("has every option of compression, with its default", () => {
    const ofPage = rows(limits, "Of compression").map(([option, standard]) => [option, standard])
    const all = Object.entries({ ...Compression.defaults, ...NodeDeflate.defaults })
    expect(ofPage).toEqual(all.map(([name, value]) => [`\`${name}\``, bytes(value)]))
    const window = 2 ** Compression.defaults.compressorWindowBits
    expect(section(limits, "Of compression")).toContain(`${window / 1_024} KiB`)
    const finalBlocks = written("packages/node/src/Inflate.ts", /mostFinalBlocks = (\d+)/)
    expect(section(limits, "Of compression")).toContain(`more than ${finalBlocks} final blocks`)
  })

  it("has the limits of a handshake", () => {
    const title = "Of a handshake"
    const [server, listener, client] = rows(limits, title).filter(([, , option]) => option === "`handshakeTimeout`")
    const node = "packages/node/src"
    expect(server?.[1]).toBe(
      seconds(written(`${node}/Endpoint.ts`, /timeout: Duration\.Input = "(.*?)"/) as "1 second")
    )
    for (const [row, file] of [
      [listener, "NodeWebSocketServer"],
      [client, "NodeWebSocket"]
    ] as const) {
      const value = written(`${node}/${file}.ts`, /options\.handshakeTimeout \?\? "(.*?)"/) as "1 second"
      expect(row?.[1]).toBe(seconds(value))
    }
    const ofHead = rows(limits, title).flatMap(([, value, option]) =>
      option?.startsWith("`maxHandshake") ? [[option, value]] : []
    )
    expect(ofHead).toEqual(Object.entries(Upgrade.defaultLimits).map(([name, value]) => [`\`${name}\``, bytes(value)]))
    const headersTimeout = written(`${node}/EffectHttpServer.ts`, /headersTimeout: ([\d_]+)/)?.replaceAll("_", "")
    expect(section(limits, title)).toContain(`gives a client ${seconds(Number(headersTimeout))} for its request`)
    expect(standard(title, "redirects that a client follows")).toBe(
      written(`${node}/NodeWebSocket.ts`, /maxRedirects = (\d+)/)
    )
    const body = Number(written(`${node}/client/Answer.ts`, /maxBody = ([\d_]+)/)?.replaceAll("_", ""))
    expect(standard(title, "body of a refusal that a client keeps")).toBe(bytes(body))
    expect(standard(title, "extensions in one offer")).toBe(`${Extensions.defaultLimits.maxExtensions}`)
    expect(standard(title, "parameters of an extension")).toBe(`${Extensions.defaultLimits.maxParams}`)
    const linger = Number(written(`${node}/Upgrade.ts`, /linger = ([\d_]+)/)?.replaceAll("_", ""))
    expect(standard(title, "time for a client that was refused to go")).toBe(seconds(linger))
    const { maxBytes, maxLines } = HttpHead.defaultLimits
    expect(section(limits, title)).toContain(`takes ${maxBytes / 1_024} KiB and ${maxLines} fields`)
  })

  it("has the limits of a session of HTTP/2", () => {
    const title = "Of HTTP/2"
    const ofPage = rows(limits, title).map(([option, standard]) => [option, standard])
    expect(ofPage).toEqual(Object.entries(Sessions.defaults).map(([name, value]) => [`\`${name}\``, bytes(value)]))
    const { maxSessionRejectedStreams, streamResetBurst, streamResetRate } = Sessions.floods
    const words = section(limits, title).replaceAll(/\s+/g, " ")
    expect(words).toContain(`more than ${bytes(streamResetBurst)} streams at once and ${streamResetRate} a second`)
    expect(words).toContain(`of which ${bytes(maxSessionRejectedStreams)} streams had to be refused`)
  })

  it("has the limits of an event source", () => {
    const title = "Of an event source"
    const connection = "packages/core/src/connection"
    const { maxRedirects, maxReconnectionTime, maxRetryAfter, minReconnectionTime } = EventSourceProtocol.defaults
    const timeout = written(`${connection}/Reconnecting.ts`, /defaultOpenTimeout = "(.*?)"/) as "1 second"
    const body = Number(written(`${connection}/EventSourceAttempt.ts`, /maxBody = ([\d_]+)/)?.replaceAll("_", ""))
    const grace = Number(written(`${connection}/Reconnecting.ts`, /grace = ([\d_]+)/)?.replaceAll("_", ""))
    const inbox = written("packages/browser/src/NativeEventSource.ts", /inboxBytes = ([\d_]+)/)?.replaceAll("_", "")
    expect(rows(limits, title).map(([, value]) => value)).toEqual([
      bytes(EventStream.defaultLimits.maxLineBytes),
      bytes(EventStream.defaultLimits.maxEventBytes),
      seconds(timeout),
      "none",
      seconds(grace),
      `${maxRedirects}`,
      bytes(body),
      ...[minReconnectionTime, maxReconnectionTime, maxRetryAfter].map(seconds),
      seconds(Reconnect.defaults.base),
      seconds(Reconnect.defaults.cap),
      written(`${connection}/Watched.ts`, /behind = (\d+)/),
      bytes(Number(inbox))
    ])
  })

  it("has the limits of an event stream, with their defaults", () => {
    const title = "Of an event stream"
    const ofPage = rows(limits, title).map(([option, standard]) => [option, standard])
    expect(ofPage).toEqual(
      Object.entries(NodeEventStream.defaults).map(([name, value]) => [`\`${name}\``, shown(value, name)])
    )
    const file = "packages/node/src/EventStreamResponse.ts"
    expect(written(file, /looksInStall = (\d)/)).toBe("4")
    const patience = written("packages/node/src/HubServer.ts", /headersTimeout = ([\d_]+)/)?.replaceAll("_", "")
    expect(section(limits, title).replaceAll(/\s+/g, " ")).toContain(`is cut after ${seconds(Number(patience))}`)
    const end = Number(written(file, /closeTimeout = ([\d_]+)/)?.replaceAll("_", ""))
    expect(section(limits, title)).toContain(`the end of its stream in ${seconds(end)}`)
  })

  it("has the limits of a session, with their defaults", () => {
    const ofPage = rows(limits, "Of a session of a contract").map(([option, standard]) => [option, standard])
    expect(ofPage).toEqual(Object.entries(SessionLimits.defaults).map(([name, value]) => [`\`${name}\``, count(value)]))
  })

  it("has the limits of sessions over an event stream and POST", () => {
    const exchange = "packages/node/src/session/Exchange.ts"
    const ofPage = rows(limits, "Over an event stream and POST", "###").map(([, standard]) => standard)
    expect(ofPage).toEqual([
      bytes(Number(written(exchange, /const bodySlack = ([\d_]+)/)?.replaceAll("_", ""))),
      count(EventStreamMessages.maxMessages),
      "`maxHelloBytes`",
      "1",
      written(exchange, /const postTimeout: .* = "(\d+) seconds"/)?.concat(" s"),
      written(exchange, /const roomTimeout: .* = "(\d+) seconds"/)?.concat(" s"),
      written("packages/core/src/messaging/EventStreamWire.ts", /handshakeTimeout = "(\d+) seconds"/)?.concat(" s"),
      bytes(PostLink.batchBytes),
      "two heartbeats"
    ])
  })

  it("has the limits of what a server remembers of requests, with their defaults", () => {
    const { age, capacity, maxBytes } = Repeats.defaults
    const ofPage = rows(limits, "Of requests that may be asked again", "###")
    expect(ofPage.map(([option, standard]) => [option, standard])).toEqual([
      ["`capacity`", count(capacity)],
      ["`age`", count(age)],
      ["`maxBytes`", bytes(maxBytes)]
    ])
  })

  it("has the limits of a client that comes back, with their defaults", () => {
    const comeback = "packages/core/src/connection/Comeback.ts"
    const constant = (name: string, file = comeback) =>
      seconds(Number(written(file, new RegExp(`${name} = ([\\d_]+)`))?.replaceAll("_", "")))
    expect(rows(limits, "Of a client that comes back", "###").map(([, value]) => value)).toEqual([
      count(Outbox.defaults.capacity),
      count(Outbox.defaultMaxWaiting),
      seconds(written(comeback, /defaultOpenTimeout = "(.*?)"/) as "1 second"),
      constant("maxRetryAfter"),
      constant("patience", "packages/core/src/messaging/Returning.ts"),
      constant("worthwhile"),
      constant("checkTimeout"),
      "never",
      constant("heartbeatTimeout")
    ])
  })

  it("has the limits of a history, with their defaults", () => {
    const ofPage = rows(limits, "Of its history", "###").map(([option, standard]) => [option, standard])
    const counts = new Set(["maxEntries", "maxTopics"])
    expect(ofPage).toEqual(
      Object.entries(History.defaults).map(([name, value]) => [
        `\`${name}\``,
        counts.has(name) ? value.toLocaleString("en") : shown(value, name)
      ])
    )
  })

  it("has the limits of a client's session of HTTP/2", () => {
    const title = "Of a client's session"
    for (const [name, value] of Object.entries(Http2.defaults))
      expect(standard(title, `\`${name}\``)).toBe(bytes(value))
    const session = "packages/node/src/NodeHttp2Session.ts"
    for (const name of ["handshakeTimeout", "closeTimeout"]) {
      const value = written(session, new RegExp(`${name}(?: =| \\?\\?) "(.*?)"`)) as "1 second"
      expect(standard(title, `\`${name}\``)).toBe(seconds(value))
    }
    const head = written("packages/node/src/client/Http2.ts", /maxHeaderListSize = ([\d_]+)/)?.replaceAll("_", "")
    expect(section(limits, title)).toContain(`may have ${Number(head) / 1_024} KiB`)
    const source = readFileSync(`${root}${session}`, "utf8").split("export interface Options {")[1]!
    const options = [...source.split("\n}")[0]!.matchAll(/readonly (\w+)\?/g)].map(([, name]) => name)
    const ofPage = rows(limits, title).map(([option]) => option?.replaceAll("`", ""))
    expect(options.filter((name) => name !== "tls" && name !== "socketPath").toSorted()).toEqual(ofPage.toSorted())
  })

  it("has the limits of a server's end", () => {
    const file = "packages/node/src/Connections.ts"
    const title = "Of a server's end"
    const window = written(file, /options\.window \?\? "(.*?)"/) as "1 second"
    expect(standard(title, "time over which connections are closed")).toBe(seconds(window))
    expect(standard(title, "connections closed at once, at least")).toBe(written(file, /smallestBatch = (\d+)/))
  })

  it("has the limits of Engine.IO, with their defaults", () => {
    const title = "Of Engine.IO"
    const ofPage = rows(limits, title, "###").map(([option, value]) => [option, value])
    const { maxBytes, maxPackets } = EnginePacket.defaults
    const constant = (file: string, pattern: RegExp) =>
      seconds(Number(written(file, pattern)?.replaceAll("_", "")) as Duration.Input)
    expect(ofPage).toEqual([
      ...Object.entries(EngineServer.defaults).map(([name, value]) => [`\`${name}\``, count(value)]),
      ...Object.entries(EngineProtocol.defaults).map(([name, value]) => [`\`protocol.${name}\``, count(value)]),
      ["`protocol.payload.maxPackets`", count(maxPackets)],
      [
        "time for the body of a post",
        seconds(written("packages/node/src/engine/EngineFront.ts", /postTimeout = "(.*?)"/) as "1 second")
      ],
      [
        "time that an ended session waits for a poll",
        constant("packages/core/src/interop/engineio/EngineServer.ts", /closeTimeout = ([\d_]+)/)
      ]
    ])
    expect(maxBytes).toBe(EngineServer.defaults.maxPayload)
  })

  it("has the limits of Socket.IO, with their defaults", () => {
    const ofPage = rows(limits, "Of Socket.IO", "###").map(([option, value]) => [option, value])
    const { connectTimeout, maxAway, maxSockets, maxWaiting, maxWaitingSize } = SocketServer.defaults
    const options = {
      ...SocketPacket.defaults,
      ...SocketProtocol.defaults,
      connectTimeout,
      maxWaiting,
      maxWaitingSize,
      "recovery.maxAway": maxAway,
      "recovery.maxSockets": maxSockets
    }
    expect(ofPage).toEqual([
      ...Object.entries(options).map(([name, value]) => [`\`${name}\``, count(value)]),
      [`events that are kept for a client, of ${count(KeptEvents.maxBytes)} bytes`, count(KeptEvents.maxEvents)]
    ])
  })

  it("has the limits of Action Cable, with their defaults", () => {
    const title = "Of clients of Action Cable"
    const { maxEarlyCommands, maxSubscriptions } = CableProtocol.defaults
    const { maxDataLength, maxDepth, maxIdentifierLength, maxLength, maxStreams } = CablePacket.defaults
    const options: Record<string, Duration.Input> = {
      maxSubscriptions,
      maxEarlyCommands,
      maxLength,
      maxIdentifierLength,
      maxDataLength,
      maxStreams,
      maxDepth,
      pingInterval: CableServer.defaultPingInterval
    }
    expect(rows(limits, title).map(([option, value]) => [option, value])).toEqual([
      ...Object.entries(options).map(([name, value]) => [`\`${name}\``, count(value)]),
      ["a token, in UTF-16 units", count(CableToken.maxLength)],
      ["`resume.maxAway`", count(CableServer.defaultMaxAway)],
      ["`resume.maxSessions`", count(CableSessions.defaults.maxSessions)],
      ["`resume.maxLength`", count(CableSessions.defaults.maxLength)],
      ["the time for channels to let a client in that comes back", count(CableSession.restoreTime)],
      ["the time for a client that has come back to ask for what it has missed", count(CableSession.askTime)]
    ])
    expect(section(limits, title)).toContain(`at most ${HubMessage.maxTopics} subscriptions`)
    expect(section(limits, title)).toContain(`a ${1 / CableSessions.share}th of`)
  })

  it("has the limits of what is read at Redis", () => {
    const title = "Of other systems at Redis"
    const { maxBytes, maxDepth, maxNamespaceLength, maxRooms } = Emission.defaults
    const { capacity, expiry, groupExpiry } = NodeChannelsLayer.queueDefaults
    expect(rows(limits, title).map(([, value]) => value)).toEqual([
      ...[maxBytes, maxDepth, maxRooms, maxNamespaceLength].map(count),
      ...[LayerMessage.defaults.maxBytes, LayerMessage.defaults.maxDepth, capacity].map(count),
      `${expiry} s`,
      `${groupExpiry} s`
    ])
    const words = section(limits, title).replaceAll(/\s+/g, " ")
    expect(words).toContain(`emitters say ${count(SocketIoEmitters.defaults.capacity)} events wait`)
    expect(words).toContain(`of Django's ${count(NodeChannelsLayer.defaults.capacity)} messages wait`)
  })

  it("has the limits of the hub and of the protocol", () => {
    const ofHub = rows(limits, "Of the hub").map(([, value]) => value)
    const { maxIdLength, maxPositionLength, maxProducerBytes } = HubMessage
    const names = [HubMessage.maxTopicBytes, HubMessage.maxTopics, HubMessage.maxNameLength]
    expect(ofHub.slice(0, 7)).toEqual(
      [...names, maxIdLength, maxPositionLength, maxProducerBytes, HubMessage.maxDepth].map(String)
    )
    expect(ofHub[7]).toBe(`${Cluster.maxPage}`)
    const ofMembers = rows(limits, "Of its members, and of streams in a program", "###").map(([, value]) => value)
    const { defaultCapacity } = Subscription
    expect(ofMembers).toEqual(
      [SlowConsumer.defaultPending, CatchUp.maxKept, Spoken.maxSpoken, defaultCapacity, HubPresence.maxUsers].map((n) =>
        n.toLocaleString("en")
      )
    )
    const ofProtocol = rows(limits, "Of the protocol").map(([, value]) => value)
    expect(ofProtocol).toEqual([Frame.maxControlPayload, CloseCode.maxReasonBytes].map(String))
  })
})

describe("docs/limits.md", () => {
  it("has the limits of a broker", () => {
    const { callTimeout, connectTimeout, heartbeat, publishTimeout, ...counts } = EngineBroker.defaults
    expect(rows(limits, "Of a broker").map(([option = "", value]) => [option.replaceAll("`", ""), value])).toEqual([
      ["connectTimeout", seconds(connectTimeout)],
      ["callTimeout", seconds(callTimeout)],
      ["heartbeat", seconds(heartbeat)],
      ["publishTimeout", seconds(publishTimeout)],
      ["maxInFlight", `${counts.maxInFlight}`],
      ["maxInFlightBytes", bytes(counts.maxInFlightBytes)],
      ["maxQueuedBytes", bytes(counts.maxQueuedBytes)],
      ["maxAsks", `${counts.maxAsks}`],
      ["maxHeldBytes", bytes(counts.maxHeldBytes)]
    ])
    const rest = section(limits, "Of a broker")
    for (const words of [
      `at most ${bytes(Broker.maxCastBytes)}`,
      `a producer's name ${Parcel.maxProducerBytes} bytes`,
      `known for ${Producers.defaults.window / 1_000} s`,
      `at most ${Producers.defaults.maxKeys.toLocaleString("en")} keys`,
      `its last ${Producers.maxSequences.toLocaleString("en")}`
    ]) {
      expect(rest.replaceAll("\n", " ")).toContain(words)
    }
  })
})

describe("docs/closing.md", () => {
  it("says of every close code whether it may be sent and whether it is an ordinary end", () => {
    const ofPage = rows(closing, "Close codes")
    for (const [code = "", name, sent, ordinary] of ofPage) {
      const number = Number(code)
      const maySend = CloseCode.isOnWire(number)
      expect([code, sent, ordinary]).toEqual([code, yes(maySend), yes(CloseCode.isOrdinary(number))])
      const key = Object.entries(CloseCode.CloseCode).find(([, value]) => value === number)?.[0]
      if (key !== undefined) expect(name).toBe(key.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`))
    }
    const codes = new Set(ofPage.map(([code]) => Number(code)))
    expect(Object.values(CloseCode.CloseCode).filter((code) => !codes.has(code))).toEqual([])
  })

  it("says how long the answer to a Close may wait", () => {
    const longest = written("packages/core/src/connection/Receiving.ts", /longestDelay = ([\d_]+)/)?.replaceAll("_", "")
    expect(closing).toContain(`for ${seconds(Number(longest))} at most`)
  })
})
