/**
 * What docs/protocol.md promises, as a few lines: a hub with one log, and one connection of one client to it, both of
 * whose directions are queues that the test empties and cuts as it likes.
 */

export interface Entry {
  readonly topic: string
  readonly epoch: string
  readonly offset: number
  readonly data: unknown
  readonly key: string | undefined
}

interface Fields {
  readonly [name: string]: unknown
}

export class HubModel {
  /** All that was ever published, in any epoch. */
  readonly log: Array<Entry> = []
  epoch = "e0"
  offset = 0
  private epochs = 0
  /** Behind which entries of the epoch are there still. */
  private kept = 0
  private readonly keys = new Map<string, Entry>()
  /** Whether it can publish and subscribe. */
  isAvailable = true
  /** Of the connection that there is. */
  joined: Set<string> | undefined
  toHub: Array<string> = []
  toClient: Array<string> = []

  connect(): void {
    this.joined = new Set()
    this.toHub = []
    this.toClient = []
    this.tell({ type: "welcome", client: "ada", protocol: 1, node: "n", unheardOf: [] })
  }

  cut(): void {
    this.joined = undefined
    this.toHub = []
    this.toClient = []
  }

  get position(): string {
    return `${this.epoch}:${this.offset}`
  }

  /** Forgets its log, as one that is started again. Keys are known by their entries of all epochs, which no hub is. */
  restart(): void {
    this.epoch = `e${++this.epochs}`
    this.offset = this.kept = 0
    const { joined } = this
    for (const topic of joined ?? []) this.tell({ type: "gap", topics: [topic], to: this.position })
  }

  /** Forgets what is older than the last few. */
  trim(count: number): void {
    this.kept = Math.max(this.kept, this.offset - count)
  }

  append(topic: string, data: unknown, key?: string, echo = true): Entry {
    const entry = { topic, epoch: this.epoch, offset: ++this.offset, data, key }
    this.log.push(entry)
    if (key !== undefined) this.keys.set(key, entry)
    if (this.joined?.has(topic) === true && echo) this.tell(messageOf(entry))
    return entry
  }

  kick(topic: string): void {
    if (this.joined?.delete(topic) === true) {
      this.tell({ type: "unsubscribed", topic, reason: "kicked", message: "go" })
    }
  }

  move(from: string, to: string): void {
    if (from === to || this.joined?.delete(from) !== true) return
    this.joined.add(to)
    this.tell({ type: "moved", from, to, position: this.position })
  }

  tell(message: Fields): void {
    this.toClient.push(JSON.stringify(message))
  }

  /** Handles the next thing that the client has said. */
  hear(): void {
    const text = this.toHub.shift()
    if (text === undefined || this.joined === undefined) return
    const { data, echo, id, key, position, topic, type } = JSON.parse(text) as {
      readonly type: string
      readonly topic: string
      readonly id: number
      readonly position?: string
      readonly data?: unknown
      readonly key?: object
      readonly echo?: boolean
    }
    switch (type) {
      case "subscribe":
        return this.subscribe(topic, position, id)
      case "unsubscribe":
        this.joined.delete(topic)
        return this.tell({ type: "unsubscribed", topic, id })
      case "publish": {
        const name = JSON.stringify(key)
        const known = this.keys.get(name)
        if (!this.isAvailable) return this.tell({ type: "error", code: "unavailable", message: "", id })
        if (topic === "locked") return this.tell({ type: "error", code: "forbidden", message: "no", id })
        const { epoch, offset } = known ?? this.append(topic, data, name, echo)
        const repeated = known === undefined ? {} : { repeated: true }
        return this.tell({ type: "published", topic, id, receivers: 1, position: `${epoch}:${offset}`, ...repeated })
      }
      case "ping":
        return this.tell({ type: "pong", id })
    }
  }

  private subscribe(topic: string, position: string | undefined, id: number): void {
    if (this.joined!.has(topic)) return this.tell({ type: "subscribed", topic, id })
    if (!this.isAvailable) return this.tell({ type: "error", code: "unavailable", message: "", id })
    if (topic === "locked") return this.tell({ type: "error", code: "forbidden", message: "no", id })
    this.joined!.add(topic)
    this.tell({ type: "subscribed", topic, id, position: position ?? this.position })
    if (position === undefined) return
    const [epoch, digits] = position.split(":") as [string, string]
    const isOther = epoch !== this.epoch
    const from = isOther ? 0 : Number(digits)
    const mine = this.log.filter((entry) => entry.topic === topic && entry.epoch === this.epoch && entry.offset > from)
    const there = mine.filter(({ offset }) => offset > this.kept)
    if (isOther || there.length < mine.length) {
      const to = `${this.epoch}:${there[0] === undefined ? this.offset : there[0].offset - 1}`
      this.tell({ type: "gap", topics: [topic], from: position, to })
    }
    for (const entry of there) this.tell(messageOf(entry))
  }
}

const messageOf = ({ data, epoch, offset, topic }: Entry): Fields => ({
  type: "message",
  topic,
  data,
  from: "bob",
  time: 1,
  position: `${epoch}:${offset}`
})
