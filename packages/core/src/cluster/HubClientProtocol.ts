/**
 * What a client of the hub says and what it makes of what it hears, by protocol 1 of docs/protocol.md: the whole
 * conversation over one connection after the other, without any of them. Total: whatever is heard, nothing throws.
 *
 * Each call gives what is to be done, in order. Time is an argument, in milliseconds since 1970.
 */
import type { JsonText } from "./JsonText.ts"
import { HubPublications, type Bounds as PublicationBounds, type Publication } from "./HubPublications.ts"
import { type Bounds as ReaderBounds, HubReader } from "./HubReader.ts"
import { Refused } from "./HubClientError.ts"
import type { Element, Present, PresenceElement } from "./HubElement.ts"
import * as HubHeard from "./HubHeard.ts"
import { protocol } from "./HubMessage.ts"
import { HubSubscriptions } from "./HubSubscriptions.ts"
import type { Unanswered } from "./HubStore.ts"
import type * as Position from "./Position.ts"

export type Bounds = PublicationBounds & ReaderBounds

/** Something the hub is asked once more on each connection until it has answered. */
export interface Question {
  /** `undefined` asks whether anybody is there. */
  readonly topic: string | undefined
  id: number | undefined
  answer: Present | Refused | "Pong" | undefined
  /** Called when there is an answer. */
  waiter: (() => void) | undefined
}

export type Action =
  | { readonly _tag: "Say"; readonly text: string }
  /** The client is called this, and the hub's nodes are there. What was waiting for a connection is said behind it. */
  | { readonly _tag: "Welcome"; readonly name: string; readonly nodes: ReadonlyArray<string> }
  /** There is something to take for a reader, or it is over. */
  | { readonly _tag: "Wake"; readonly reader: HubReader }
  /** The store is to be told that it is said now; then `marked`. */
  | { readonly _tag: "Mark"; readonly publication: Publication; readonly at: number }
  /** It has its `result`. */
  | { readonly _tag: "Settle"; readonly publication: Publication }
  | { readonly _tag: "Answer"; readonly question: Question }
  /** The hub could not do something: `retry` after a while. */
  | { readonly _tag: "PutOff" }
  /** The hub can do things again. */
  | { readonly _tag: "Eased" }
  /** The hub speaks another protocol. */
  | { readonly _tag: "Foreign"; readonly protocol: unknown }

export type Actions = ReadonlyArray<Action>

export class HubClientProtocol {
  readonly publications: HubPublications
  readonly subscriptions: HubSubscriptions
  private readonly bounds: Bounds
  private readonly questions = new Set<Question>()
  private actions: Array<Action> = []
  private lastId = 0
  private state: "Closed" | "Greeting" | "Open" = "Closed"

  constructor(bounds: Bounds) {
    this.bounds = bounds
    const say = (text: string) => void this.actions.push({ _tag: "Say", text })
    const nextId = () => ++this.lastId
    const putOff = () => void this.actions.push({ _tag: "PutOff" })
    this.publications = new HubPublications({
      ...bounds,
      say,
      nextId,
      putOff,
      mark: (publication, at) => void this.actions.push({ _tag: "Mark", publication, at }),
      settle: (publication) => void this.actions.push({ _tag: "Settle", publication })
    })
    this.subscriptions = new HubSubscriptions({
      say,
      nextId,
      putOff,
      wake: (reader) => void this.actions.push({ _tag: "Wake", reader })
    })
  }

  /** Whether the hub has said welcome. */
  get isOpen(): boolean {
    return this.state === "Open"
  }

  /** Whether the hub owes an answer. */
  get isWaiting(): boolean {
    return (
      this.state === "Open" && (this.publications.isWaiting || this.subscriptions.isWaiting || this.questions.size > 0)
    )
  }

  // The connection.

  /** There is a connection, over which nothing was said yet. */
  connected(): void {
    this.state = "Greeting"
  }

  /** There is none any more. */
  lost(): Actions {
    this.state = "Closed"
    this.publications.lost()
    this.subscriptions.lost()
    for (const question of this.questions) question.id = undefined
    return this.done()
  }

  /** A Text message has come. */
  received(text: string, now: number): Actions {
    const heard = HubHeard.decode(text)
    if (heard === undefined || this.state === "Closed") return this.done()
    if (this.state === "Greeting") {
      if (heard._tag === "Welcome") this.welcome(heard, now)
      return this.done()
    }
    if (!this.subscriptions.heard(heard, text.length)) this.answered(heard, now)
    if (heard._tag === "Subscribed" || heard._tag === "Published") this.actions.push({ _tag: "Eased" })
    return this.done()
  }

  private welcome(heard: Extract<HubHeard.Heard, { readonly _tag: "Welcome" }>, now: number): void {
    if (heard.protocol !== protocol) {
      this.actions.push({ _tag: "Foreign", protocol: heard.protocol })
      return
    }
    this.state = "Open"
    this.actions.push({ _tag: "Welcome", name: heard.client, nodes: heard.nodes })
    // First: who publishes much would otherwise go on while its own streams fall behind what the hub keeps.
    this.subscriptions.opened()
    // What was said before a connection was lost is said again before anything new.
    this.publications.opened(now)
    for (const question of this.questions) this.put(question)
  }

  private answered(heard: HubHeard.Heard, now: number): void {
    if (!("id" in heard) || heard.id === undefined) return
    const { id } = heard
    if (heard._tag === "Published") return void this.publications.published(id, heard.receipt, now)
    if (heard._tag === "Error" && this.publications.refused(id, heard.code, heard.detail, now)) return
    for (const question of this.questions) {
      if (question.id !== id) continue
      const { topic } = question
      if (heard._tag === "Pong") question.answer = "Pong"
      else if (heard._tag === "Here") question.answer = heard.present
      else if (heard._tag === "Error") question.answer = new Refused({ code: heard.code, detail: heard.detail, topic })
      else return
      this.questions.delete(question)
      this.actions.push({ _tag: "Answer", question })
      return
    }
  }

  /** Asks again what the hub could not do. */
  retry(now: number): Actions {
    this.publications.retry(now)
    this.subscriptions.retry()
    return this.done()
  }

  // What the program wants.

  reader(topic: string, position: Position.Position | undefined, presence: JsonText | "" | undefined): HubReader {
    return new HubReader(topic, position, presence, this.bounds)
  }

  subscribe(reader: HubReader): Actions {
    this.subscriptions.add(reader)
    return this.done()
  }

  unsubscribe(reader: HubReader): Actions {
    this.subscriptions.remove(reader)
    return this.done()
  }

  /** What waits for a reader, `most` at most. */
  take(reader: HubReader, most: number): readonly [ReadonlyArray<Element | PresenceElement>, Actions] {
    const elements = reader.take(most)
    this.subscriptions.taken(reader)
    return [elements, this.done()]
  }

  publish(unanswered: Unanswered): Publication {
    return this.publications.add(unanswered)
  }

  /** What the store had: said before anything new. */
  load(unanswered: Unanswered, now: number): readonly [Publication, Actions] {
    const publication = this.publications.load(unanswered, now)
    return [publication, this.done()]
  }

  kept(publication: Publication, now: number): Actions {
    this.publications.kept(publication, now)
    return this.done()
  }

  marked(publication: Publication, now: number): Actions {
    this.publications.marked(publication, now)
    return this.done()
  }

  /** The store cannot have it. */
  unkept(publication: Publication, reason: Parameters<HubPublications["fail"]>[1], now: number): Actions {
    this.publications.fail(publication, reason, now)
    return this.done()
  }

  giveUp(publication: Publication, now: number): Actions {
    this.publications.giveUp(publication, now)
    return this.done()
  }

  /** What was said too long ago is settled, where there is no connection to say it over. */
  expire(now: number): Actions {
    this.publications.expire(now)
    return this.done()
  }

  ask(topic: string | undefined): readonly [Question, Actions] {
    const question: Question = { topic, id: undefined, answer: undefined, waiter: undefined }
    this.questions.add(question)
    if (this.isOpen) this.put(question)
    return [question, this.done()]
  }

  /** Nobody wants to know any more. */
  unask(question: Question): void {
    this.questions.delete(question)
  }

  private put(question: Question): void {
    const { topic } = question
    const id = (question.id = ++this.lastId)
    const text = topic === undefined ? { type: "ping", id } : { type: "presence", topic, id }
    this.actions.push({ _tag: "Say", text: JSON.stringify(text) })
  }

  private done(): Actions {
    const { actions } = this
    if (actions.length === 0) return actions
    this.actions = []
    return actions
  }
}
