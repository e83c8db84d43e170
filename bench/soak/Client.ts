/**
 * A client of a soak, by WebSocket or by an event stream: it knows docs/protocol.md, remembers where it is in each of its
 * topics, and comes back to any node when its connection ends. What it is told it writes down in its accounts. Made of
 * `ws` and `eventsource-parser`, so that our two ends cannot be wrong together.
 */
import * as http from "node:http"
import * as Position from "@millrace/core/cluster/Position"
import { createParser } from "eventsource-parser"
import { WebSocket } from "ws"
import type { Account, Heard, Ledger } from "./Ledger.ts"

export interface Around {
  readonly ledger: Ledger
  /** The port of some node, if one listens. */
  readonly anyPort: () => number | undefined
  /** From 0 to less than 1. */
  readonly random: () => number
}

/** How long a client waits before it comes back, in milliseconds at most. */
const pause = 200

/** A connection that says nothing for so long is given up, in milliseconds: a node may stand still. */
const patience = 10_000

const positionOf = (text: unknown): Position.Position | undefined =>
  typeof text === "string" ? Position.parse(text) : undefined

interface Told {
  readonly type: string
  readonly topic?: string
  readonly topics?: ReadonlyArray<string>
  readonly data?: number
  readonly position?: string
  readonly from?: string
  readonly to?: string
  readonly code?: string
}

export abstract class Client {
  readonly accounts: ReadonlyMap<string, Account>
  protected readonly around: Around
  /** Of the connection that it has; goes up with each, so that the last words of an old one are known as such. */
  protected turn = 0
  /** The topics that it still waits to be told it is in. */
  protected waiting: Set<string>
  private cut: () => void = () => {}
  private hasEnded = false
  private hasBegun = false
  private again: NodeJS.Timeout | undefined
  private watch: NodeJS.Timeout | undefined
  private wake: () => void = () => {}

  constructor(client: string, topics: ReadonlyArray<string>, around: Around) {
    this.around = around
    this.accounts = new Map(topics.map((topic) => [topic, { client, topic, begin: undefined, heard: [] }]))
    this.waiting = new Set(topics)
  }

  /** Whether it is in all of its topics. */
  get isThere(): boolean {
    return this.waiting.size === 0
  }

  /** Comes back when it is in all of its topics for the first time. */
  begin(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve
      this.connect()
    })
  }

  /** Leaves its node, and comes back to any. */
  leave(): void {
    this.lose(this.turn)
  }

  end(): void {
    this.hasEnded = true
    clearTimeout(this.again)
    clearTimeout(this.watch)
    this.turn++
    this.cut()
  }

  /** Opens one connection, and gives what cuts it. */
  protected abstract open(port: number, turn: number): () => void

  /** Says that the connection is alive. */
  protected alive(turn: number): void {
    if (turn !== this.turn) return
    clearTimeout(this.watch)
    this.watch = setTimeout(() => this.lose(turn), patience)
  }

  /** It is in a topic, at a position: the one that it had, or where it begins. */
  protected admit(topic: string, position: Position.Position | undefined): void {
    const account = this.accounts.get(topic)
    if (account === undefined) return
    if (account.begin === undefined) {
      // Who begins without a place cannot be accounted for: it comes again.
      if (position === undefined) return this.lose(this.turn)
      this.around.ledger.see(position)
      account.begin = position
    }
    this.waiting.delete(topic)
    if (this.waiting.size > 0) return
    this.hasBegun = true
    this.wake()
  }

  protected hear(topic: string, heard: Heard): void {
    this.accounts.get(topic)?.heard.push(heard)
  }

  protected lose(turn: number): void {
    if (turn !== this.turn || this.hasEnded) return
    this.turn++
    clearTimeout(this.watch)
    this.cut()
    this.waiting = new Set(this.accounts.keys())
    this.again = setTimeout(() => this.connect(), this.around.random() * pause)
  }

  private connect(): void {
    const port = this.around.anyPort()
    const turn = ++this.turn
    this.alive(turn)
    if (port === undefined) return this.lose(turn)
    if (this.hasBegun) for (const { heard } of this.accounts.values()) heard.push({ _tag: "Returned" })
    this.cut = this.open(port, turn)
  }
}

/** By WebSocket: it has a position for each topic. */
export class SocketClient extends Client {
  private readonly positions = new Map<string, Position.Position>()

  protected open(port: number, turn: number): () => void {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { perMessageDeflate: false })
    socket.on("message", (data: Buffer) => {
      if (turn === this.turn) this.told(JSON.parse(data.toString()) as Told, turn, (text) => socket.send(text))
    })
    socket.on("ping", () => this.alive(turn))
    socket.on("error", () => {})
    socket.on("close", () => this.lose(turn))
    return () => socket.terminate()
  }

  private told(told: Told, turn: number, say: (text: string) => void): void {
    this.alive(turn)
    const { topic = "" } = told
    switch (told.type) {
      case "welcome": {
        for (const topic of this.accounts.keys()) {
          const position = this.positions.get(topic)
          say(JSON.stringify({ type: "subscribe", topic, position: position && Position.print(position) }))
        }
        return
      }
      case "subscribed": {
        const position = positionOf(told.position)
        if (position !== undefined && !this.positions.has(topic)) this.positions.set(topic, position)
        return this.admit(topic, position)
      }
      case "message": {
        const position = positionOf(told.position)
        if (position !== undefined) this.positions.set(topic, position)
        return this.hear(topic, { _tag: "Message", number: told.data ?? -1, position })
      }
      case "position": {
        const position = positionOf(told.position)
        if (position !== undefined) this.positions.set(topic, position)
        return
      }
      case "gap": {
        const to = positionOf(told.to)
        for (const topic of told.topics ?? []) {
          this.hear(topic, { _tag: "Gap", from: positionOf(told.from), to })
          if (to !== undefined) this.positions.set(topic, to)
        }
        return
      }
      default:
        // It could not be let in.
        return this.lose(turn)
    }
  }
}

/** By an event stream of all its topics: it has one position, which is the last event ID. */
export class StreamClient extends Client {
  private last: Position.Position | undefined

  protected open(port: number, turn: number): () => void {
    const query = [...this.accounts.keys()].map((topic) => `topic=${encodeURIComponent(topic)}`).join("&")
    const headers = {
      Accept: "text/event-stream",
      ...(this.last !== undefined && { "Last-Event-ID": Position.print(this.last) })
    }
    const request = http.get({ host: "127.0.0.1", port, path: `/events?${query}`, headers, agent: false })
    const lose = () => this.lose(turn)
    // The ID of an event without data is the last event ID, and nothing is dispatched: the parser says nothing of it.
    let line = ""
    let id: string | undefined
    const idsOf = (text: string) => {
      for (const piece of text.split(/(?<=\n)/)) {
        line += piece
        if (!line.endsWith("\n")) continue
        if (line.startsWith("id: ")) id = line.slice(4, -1)
        if (line === "\n" && id !== undefined) this.at(positionOf(id))
        line = ""
      }
    }
    const parser = createParser({
      onEvent: ({ data, event, id }) => this.told(JSON.parse(data) as Told, event, positionOf(id))
    })
    request.on("response", (response) => {
      if (response.statusCode !== 200) return lose()
      response.setEncoding("utf8").on("data", (text: string) => {
        if (turn !== this.turn) return
        this.alive(turn)
        // Event by event, so that a gap is told before the position behind it is known.
        for (const part of text.split(/(?<=\n\n)/)) {
          parser.feed(part)
          idsOf(part)
        }
      })
      response.on("error", lose).on("close", lose)
      // Who comes back has its position already.
      if (this.last !== undefined) for (const topic of this.accounts.keys()) this.admit(topic, this.last)
    })
    request.on("error", lose)
    return () => request.destroy()
  }

  private at(position: Position.Position | undefined): void {
    if (position === undefined) return
    this.last = position
    for (const topic of this.waiting) this.admit(topic, position)
  }

  private told(told: Told, event: string | undefined, position: Position.Position | undefined): void {
    if (event === "gap") {
      const gap: Heard = { _tag: "Gap", from: positionOf(told.from), to: positionOf(told.to) ?? position }
      for (const topic of told.topics ?? []) this.hear(topic, gap)
    } else if (told.topic !== undefined) {
      this.hear(told.topic, { _tag: "Message", number: told.data ?? -1, position })
    }
  }
}
