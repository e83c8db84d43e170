/**
 * The sessions of Engine.IO that a server has, by their names. What brings requests and WebSockets to it is of the
 * platform.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as TimerWheel from "../../connection/TimerWheel.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import * as Identifier from "../../messaging/Identifier.ts"
import type * as Protocol from "./EngineProtocol.ts"
import { EngineSession, type Owner, type Settings } from "./EngineSession.ts"

/** Nothing of it is required. */
export interface Options {
  /** How often a client is pinged. Default 25 s. */
  readonly pingInterval?: Duration.Input | undefined
  /** How long it may take to answer. Default 20 s. */
  readonly pingTimeout?: Duration.Input | undefined
  /** How long a WebSocket may take to become the session's. Default 10 s. */
  readonly upgradeTimeout?: Duration.Input | undefined
  /** The longest body of a post, and the longest message, in bytes; told to clients. Default 1,000,000. */
  readonly maxPayload?: number | undefined
  /** Sessions at a time. Beyond it none is opened. Default 100,000. */
  readonly maxSessions?: number | undefined
  /** What may wait for a poll, and be in the body of a post. */
  readonly protocol?: Protocol.Config | undefined
  /** The node that the names of its sessions end with, where there are others. Default: none. */
  readonly node?: string | undefined
}

export const defaults = {
  pingInterval: "25 seconds",
  pingTimeout: "20 seconds",
  upgradeTimeout: "10 seconds",
  maxPayload: 1_000_000,
  maxSessions: 100_000
} as const

/** How long a session that the server has closed waits for a poll, in milliseconds. */
const closeTimeout = 30_000

/** Makes the one that a session belongs to, when it is there. */
export type MakeOwner = (session: () => EngineSession) => Owner

export class EngineServer {
  private readonly settings: Settings
  private readonly maxSessions: number
  private readonly name: () => string
  private readonly sessions = new Map<string, EngineSession>()

  constructor(settings: Omit<Settings, "over">, maxSessions: number, name: () => string) {
    this.settings = { ...settings, over: ({ sid }) => void this.sessions.delete(sid) }
    this.maxSessions = maxSessions
    this.name = name
  }

  get size(): number {
    return this.sessions.size
  }

  get isFull(): boolean {
    return this.sessions.size >= this.maxSessions
  }

  get maxPayload(): number {
    return this.settings.maxPayload
  }

  find(sid: string): EngineSession | undefined {
    return this.sessions.get(sid)
  }

  /** The node that a session's name says it is of: any text, as clients may say any. */
  nodeOf(sid: string): string | undefined {
    const at = sid.indexOf(".")
    return at === -1 ? undefined : sid.slice(at + 1)
  }

  /** A new session, by a first poll or by a WebSocket, which has to be `read`. */
  openUnsafe(makeOwner: MakeOwner, socket?: WebSocket): EngineSession {
    const sid = this.name()
    const owner = makeOwner(() => session)
    const session: EngineSession = new EngineSession(sid, this.settings, owner, socket)
    if (!session.isOver) this.sessions.set(sid, session)
    return session
  }

  /** Ends all sessions. Those whose clients wait in a poll hear of it. */
  shutdownUnsafe(): void {
    for (const session of this.sessions.values()) session.shutdownUnsafe()
  }
}

/** A server as long as the scope is open; at its end all sessions end. */
export const make = (options: Options = {}): Effect.Effect<EngineServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const millis = (name: "pingInterval" | "pingTimeout" | "upgradeTimeout") =>
      Duration.toMillis(options[name] ?? defaults[name])
    const pingInterval = millis("pingInterval")
    const pingTimeout = millis("pingTimeout")
    // The shortest but the nudges, which may be late.
    const wheel = yield* TimerWheel.make(Math.min(pingInterval, pingTimeout, millis("upgradeTimeout"), 800))
    const context = yield* Effect.context<never>()
    const fork = Effect.runForkWith(context)
    const source = yield* Identifier.Source
    const { node } = options
    const name = node === undefined ? source : () => `${source()}.${node}`
    const settings: Omit<Settings, "over"> = {
      pingInterval,
      pingTimeout,
      upgradeTimeout: millis("upgradeTimeout"),
      closeTimeout,
      maxPayload: options.maxPayload ?? defaults.maxPayload,
      protocol: options.protocol ?? {},
      wheel,
      run: (effect) => void fork(effect)
    }
    const server = new EngineServer(settings, options.maxSessions ?? defaults.maxSessions, name)
    yield* Effect.addFinalizer(() => Effect.sync(() => server.shutdownUnsafe()))
    return server
  })
