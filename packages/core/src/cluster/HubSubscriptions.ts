/**
 * Which topics a client of the hub is subscribed to, for which of its streams: what has to be said so that each stream
 * gets what it wants, and who gets what comes.
 *
 * All streams of a topic share one subscription. It begins where the one that is furthest back was: the others pass over
 * what they have. For a stream that wants what was before, one that is there already is left and asked for anew, both in
 * one breath, so that nobody misses anything in between. One question of a topic is on its way at a time.
 *
 * Pure but for what it holds.
 */
import { Kicked, Refused } from "./HubClientError.ts"
import type { Moved } from "./HubElement.ts"
import type { Heard } from "./HubHeard.ts"
import type { HubReader } from "./HubReader.ts"
import * as Position from "./Position.ts"

/** What is on its way to the hub. */
interface Ask {
  readonly id: number
  /** `Renew` says once more who is there, of a subscription that stays. */
  readonly kind: "Renew" | "Subscribe" | "Unsubscribe"
  /** Those for whom it begins early enough. */
  readonly readers: Set<HubReader>
  readonly from: Position.Position | undefined
  readonly presence: string | undefined
  /** The hub had moved the client there before it heard the question, and does not begin where it was asked to. */
  isSpoiled: boolean
}

class Topic {
  readonly name: string
  readonly readers = new Set<HubReader>()
  /** As the hub will have it when it has heard everything. */
  isOn = false
  ask: Ask | undefined
  /** What the hub was told of the client; `undefined` when it is not there for others. */
  presence: string | undefined
  /** Of the subscription that has said so. */
  presenceId: number | undefined
  /** The furthest that anything has come. */
  high: Position.Position | undefined
  /** Asked behind a subscription for readers of several logs: when it is answered without a gap, the one asked for is there. */
  probe: { readonly id: number; readonly from: Position.Position } | undefined
  /** The hub could not do it, and is asked again later. */
  isPutOff = false
  /** What the store was told last. */
  reported: Position.Position | undefined

  constructor(name: string) {
    this.name = name
  }

  reach(position: Position.Position | undefined): void {
    if (position !== undefined && (this.high === undefined || Position.isBehind(position, this.high))) {
      this.high = position
    }
  }

  skip(from: Position.Position | undefined, to: Position.Position | undefined): void {
    // A log that has lost its end gives the same offsets again.
    if (to !== undefined && from?.epoch === to.epoch && from.offset > to.offset) this.high = to
    else this.reach(to)
  }
}

/** What the owner does. */
export interface Options {
  readonly say: (text: string) => void
  readonly nextId: () => number
  /** There is something for a reader. */
  readonly wake: (reader: HubReader) => void
  /** `retry` is to be called after a while. */
  readonly putOff: () => void
}

export class HubSubscriptions {
  private readonly options: Options
  private readonly topics = new Map<string, Topic>()
  private isOpen = false

  constructor(options: Options) {
    this.options = options
  }

  /** How many topics are known: none when nobody reads and the hub has said so. */
  get size(): number {
    return this.topics.size
  }

  /** Whether something was asked that is not answered. */
  get isWaiting(): boolean {
    for (const { ask } of this.topics.values()) if (ask !== undefined) return true
    return false
  }

  // What the program wants.

  /** Whether somebody reads a topic. */
  has(name: string): boolean {
    const topic = this.topics.get(name)
    return topic !== undefined && topic.readers.size > 0
  }

  add(reader: HubReader): void {
    const topic = this.topicOf(reader.topic)
    topic.readers.add(reader)
    this.reconcile(topic)
  }

  remove(reader: HubReader): void {
    reader.fail(undefined)
    const topic = this.topics.get(reader.topic)
    if (topic === undefined) return
    topic.readers.delete(reader)
    this.reconcile(topic)
  }

  /** A reader has taken something, and may have room again. */
  taken(reader: HubReader): void {
    const topic = reader.state === "Waiting" ? this.topics.get(reader.topic) : undefined
    if (topic !== undefined) this.reconcile(topic)
  }

  /** How far all readers of a topic have come, where that is further than it was; told once. */
  reached(reader: HubReader): Position.Position | undefined {
    const topic = this.topics.get(reader.topic)
    let least = reader.done
    if (topic === undefined || least === undefined) return undefined
    for (const { done } of topic.readers) {
      if (done?.epoch === least.epoch && done.offset < least.offset) least = done
    }
    const { reported } = topic
    if (reported !== undefined && reported.epoch === least.epoch && reported.offset === least.offset) return undefined
    topic.reported = least
    return least
  }

  // What becomes of the connection.

  /** The hub has said welcome. */
  opened(): void {
    this.isOpen = true
    for (const topic of this.topics.values()) this.reconcile(topic)
  }

  lost(): void {
    this.isOpen = false
    for (const topic of this.topics.values()) {
      topic.isOn = topic.isPutOff = false
      topic.ask = topic.probe = topic.presence = topic.presenceId = undefined
      for (const reader of topic.readers) reader.suspend()
      this.tidy(topic)
    }
  }

  /** What was put off is asked again. */
  retry(): void {
    for (const topic of this.topics.values()) {
      if (!topic.isPutOff) continue
      topic.isPutOff = false
      this.reconcile(topic)
    }
  }

  // What the hub says.

  /** `false` for what is not about a topic; `length` is that of the text. */
  heard(heard: Heard, length: number): boolean {
    switch (heard._tag) {
      case "Subscribed": {
        const topic = this.topics.get(heard.topic)
        if (topic?.ask !== undefined && topic.ask.id === heard.id) this.subscribed(topic, topic.ask, heard.position)
        return true
      }
      case "Unsubscribed": {
        const topic = this.topics.get(heard.topic)
        if (topic?.ask?.id === heard.id && topic?.ask?.kind === "Unsubscribe") {
          topic.ask = undefined
          this.off(topic)
          this.reconcile(topic)
        }
        return true
      }
      case "Kicked": {
        const topic = this.topics.get(heard.topic)
        if (topic === undefined) return true
        this.off(topic)
        this.fail(topic, topic.readers, new Kicked({ topic: heard.topic, detail: heard.detail }))
        this.reconcile(topic)
        return true
      }
      case "Moved":
        this.moved(heard)
        return true
      case "Gap":
        for (const name of heard.topics) {
          this.skip(name, heard.from, heard.to)
          this.each(name, (reader) => reader.gap(heard.from, heard.to))
        }
        return true
      case "Message":
        this.topics.get(heard.topic)?.reach(heard.position)
        this.each(heard.topic, (reader) => reader.message(heard, length))
        return true
      case "Advanced":
        this.topics.get(heard.topic)?.reach(heard.position)
        this.each(heard.topic, (reader) => reader.advance(heard.position))
        return true
      case "Joined":
      case "Updated":
      case "Left":
        this.each(heard.topic, (reader) => reader.change(heard, length))
        return true
      case "Here":
        if (heard.id !== undefined) return false
        this.each(heard.present.topic, (reader) => reader.change(heard.present, length))
        return true
      case "Pong":
        return this.probed(heard.id)
      case "Error":
        return heard.id !== undefined && this.refused(heard.id, heard.code, heard.detail)
      default:
        return false
    }
  }

  private subscribed(topic: Topic, ask: Ask, position: Position.Position | undefined): void {
    topic.ask = undefined
    topic.isOn = true
    this.show(topic, ask)
    // How far it had come for those who are gone says nothing to anybody.
    if (![...topic.readers].some(({ hasBegun }) => hasBegun)) topic.high = undefined
    // Where it was asked to begin says nothing of the log that there is.
    if (ask.from === undefined || ask.from.epoch === topic.high?.epoch || topic.high === undefined)
      topic.reach(position)
    if (ask.kind === "Subscribe" && !ask.isSpoiled) {
      // Who has no position wants what is new, where others want what was before.
      const start = ask.from === undefined ? position : topic.high
      for (const reader of ask.readers) {
        if (reader.state === "Waiting" && topic.readers.has(reader)) this.begin(reader, start)
      }
    }
    this.reconcile(topic)
  }

  private skip(name: string, from: Position.Position | undefined, to: Position.Position | undefined): void {
    const topic = this.topics.get(name)
    if (topic === undefined) return
    topic.skip(from, to)
    // Before its answer it is one of the subscription before.
    if (to !== undefined && topic.ask === undefined) topic.probe = undefined
  }

  /** What was missed has come. Who was in another log than the one that is there has lost its rest. */
  private probed(id: number | undefined): boolean {
    for (const { name, probe } of this.topics.values()) {
      if (probe === undefined || probe.id !== id) continue
      this.skip(name, undefined, probe.from)
      this.each(name, (reader) => reader.gap(undefined, probe.from))
      return true
    }
    return false
  }

  private begin(reader: HubReader, start: Position.Position | undefined): void {
    reader.begin(start)
    this.options.wake(reader)
  }

  private refused(id: number, code: string, detail: string): boolean {
    for (const topic of this.topics.values()) {
      if (topic.ask?.id === id) {
        this.asked(topic, topic.ask, code, detail)
        return true
      }
      // It is subscribed all the same.
      if (topic.presenceId === id) {
        this.each(topic.name, (reader) =>
          reader.change({ _tag: "NoPresence", topic: topic.name, detail }, detail.length)
        )
        return true
      }
    }
    return false
  }

  private asked(topic: Topic, ask: Ask, code: string, detail: string): void {
    topic.ask = undefined
    if (ask.kind === "Renew") {
      this.each(topic.name, (reader) => reader.change({ _tag: "NoPresence", topic: topic.name, detail }, detail.length))
      return this.reconcile(topic)
    }
    this.off(topic)
    if (ask.kind === "Unsubscribe") return this.reconcile(topic)
    if (code === "unavailable") {
      topic.isPutOff = true
      this.options.putOff()
    } else {
      const readers = [...ask.readers].filter((reader) => topic.readers.has(reader))
      this.fail(topic, readers, new Refused({ code, detail, topic: topic.name }))
    }
    this.reconcile(topic)
  }

  private moved(moved: Moved): void {
    const { from, position, topic: to } = moved
    if (from === to) return
    const source = this.topicOf(from)
    const target = this.topicOf(to)
    target.reach(position)
    target.presence ??= source.presence
    target.presenceId ??= source.presenceId
    target.isOn = true
    if (target.ask?.kind === "Subscribe") target.ask.isSpoiled = true
    for (const reader of source.readers) {
      // Who has yet to be let in wants that topic.
      if (!reader.hasBegun) continue
      reader.move(moved)
      reader.at ??= target.high
      source.readers.delete(reader)
      target.readers.add(reader)
      this.options.wake(reader)
    }
    this.off(source)
    this.reconcile(source)
    this.reconcile(target)
  }

  /** Tells all readers of a topic, one of which may leave for that. */
  private each(name: string, tell: (reader: HubReader) => void): void {
    const topic = this.topics.get(name)
    if (topic === undefined) return
    let hasLeft = false
    for (const reader of topic.readers) {
      const { state } = reader
      tell(reader)
      if (!reader.isEmpty) this.options.wake(reader)
      if (reader.state === state) continue
      hasLeft = true
      // Where it is now may be before where the question begins.
      topic.ask?.readers.delete(reader)
    }
    if (hasLeft) this.reconcile(topic)
  }

  private fail(topic: Topic, readers: Iterable<HubReader>, reason: Kicked | Refused): void {
    for (const reader of readers) {
      reader.fail(reason)
      topic.readers.delete(reader)
      this.options.wake(reader)
    }
  }

  /** The hub has no subscription any more. */
  private off(topic: Topic): void {
    topic.isOn = false
    topic.presence = topic.presenceId = undefined
    for (const reader of topic.readers) reader.suspend()
  }

  // What is said.

  /** Says what is missing between what the hub has and what the readers want. */
  private reconcile(topic: Topic): void {
    if (!this.isOpen || topic.ask !== undefined || topic.isPutOff) return this.tidy(topic)
    const wanted = [...topic.readers].filter(({ state }) => state !== "Lagging")
    if (wanted.length === 0) {
      if (!topic.isOn) return this.tidy(topic)
      return this.ask(topic, { kind: "Unsubscribe", readers: new Set(), from: undefined })
    }
    const presence = presenceOf(wanted)
    if (!topic.isOn) return this.subscribe(topic, wanted, presence)
    const late = wanted.filter(({ state }) => state === "Waiting")
    const hasToHide = topic.presence !== undefined && presence === undefined
    if (hasToHide || late.some(({ at }) => isBefore(at, topic.high))) {
      this.options.say(JSON.stringify({ type: "unsubscribe", topic: topic.name, id: this.options.nextId() }))
      return this.subscribe(topic, wanted, presence)
    }
    for (const reader of late) this.begin(reader, topic.high)
    const isNews = presence !== topic.presence || late.some((reader) => reader.presence !== undefined)
    if (presence !== undefined && isNews)
      this.ask(topic, { kind: "Renew", readers: new Set(), from: undefined }, presence)
  }

  private subscribe(topic: Topic, readers: ReadonlyArray<HubReader>, presence: string | undefined): void {
    const from = startOf(readers, topic.high)
    this.ask(topic, { kind: "Subscribe", readers: new Set(readers), from }, presence)
    topic.probe = undefined
    if (from === undefined || !readers.some(({ at }) => at !== undefined && at.epoch !== from.epoch)) return
    // What is said is handled in order: the answer comes behind what was missed.
    topic.probe = { id: this.options.nextId(), from }
    this.options.say(JSON.stringify({ type: "ping", id: topic.probe.id }))
  }

  private ask(topic: Topic, asked: Pick<Ask, "from" | "kind" | "readers">, presence?: string): void {
    const id = this.options.nextId()
    const ask = { ...asked, id, presence, isSpoiled: false }
    topic.ask = ask
    this.show(topic, ask)
    const { from, kind } = asked
    const type = kind === "Unsubscribe" ? "unsubscribe" : "subscribe"
    const text = JSON.stringify({ type, topic: topic.name, position: from && Position.print(from), id })
    const said = presence === "" ? "true" : `{"info":${presence}}`
    this.options.say(presence === undefined ? text : `${text.slice(0, -1)},"presence":${said}}`)
  }

  /** What others will know of the client when the hub has heard it. */
  private show(topic: Topic, { id, presence }: Ask): void {
    topic.presence = presence
    topic.presenceId = presence === undefined ? undefined : id
  }

  private topicOf(name: string): Topic {
    const known = this.topics.get(name)
    if (known !== undefined) return known
    const topic = new Topic(name)
    this.topics.set(name, topic)
    return topic
  }

  private tidy(topic: Topic): void {
    if (topic.readers.size === 0 && topic.ask === undefined && !topic.isOn) this.topics.delete(topic.name)
  }
}

/** What the latest of them says. */
const presenceOf = (readers: ReadonlyArray<HubReader>): string | undefined =>
  readers.findLast(({ presence }) => presence !== undefined)?.presence

/** Whether something that has come was after a reader's position, or may have been. */
const isBefore = (at: Position.Position | undefined, high: Position.Position | undefined): boolean =>
  at !== undefined && (high === undefined || high.epoch !== at.epoch || high.offset > at.offset)

/** Where all of them have to begin: of two logs the other one than is known to be there, as the hub knows that it is over. */
const startOf = (
  readers: ReadonlyArray<HubReader>,
  high: Position.Position | undefined
): Position.Position | undefined => {
  let start: Position.Position | undefined
  for (const { at } of readers) {
    if (at === undefined) continue
    const isEarlier =
      start !== undefined && (at.epoch === start.epoch ? at.offset < start.offset : start.epoch === high?.epoch)
    if (start === undefined || isEarlier) start = at
  }
  return start
}
