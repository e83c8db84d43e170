/**
 * A publisher of a soak: one publication after the other, each with its key, through any node. What was not acknowledged
 * is published again with the same key, through another one, until it is.
 */
import * as Position from "@millrace/core/cluster/Position"
import { WebSocket } from "ws"
import type { Around } from "./Client.ts"

interface Answer {
  readonly type: string
  readonly id?: number
  readonly code?: string
  readonly position?: string
  readonly repeated?: true
}

/** How long an answer may take, in milliseconds: a node may stand still. */
const patience = 15_000

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

export class Publisher {
  /** Publications that had to be tried again. */
  retries = 0
  /** Acknowledged as repeats: they were there already. */
  repeated = 0
  /** Of which nobody can tell any more whether they are there. */
  unknown = 0
  private readonly name: string
  private readonly around: Around
  private readonly topics: ReadonlyArray<string>
  private socket: WebSocket | undefined
  private sequence = 0

  constructor(name: string, topics: ReadonlyArray<string>, around: Around) {
    this.name = name
    this.topics = topics
    this.around = around
  }

  /** Publishes with pauses of so many milliseconds, until `until` says so and all is acknowledged. */
  async run(interval: number, until: () => boolean): Promise<void> {
    const { random } = this.around
    while (!until()) {
      await this.publish(this.topics[Math.floor(random() * this.topics.length)]!)
      // Now and then by another node.
      if (random() < 0.02) this.end()
      await pause(interval * 2 * random())
    }
  }

  /** Comes back with its number when it is acknowledged. */
  async publish(topic: string): Promise<number> {
    const { ledger, random } = this.around
    const number = ledger.begin(topic)
    const key = { producer: this.name, epoch: 0, sequence: this.sequence++ }
    for (;;) {
      const answer = await this.ask(JSON.stringify({ type: "publish", topic, data: number, key, id: number }), number)
      const position = answer?.position === undefined ? undefined : Position.parse(answer.position)
      if (answer?.type === "published" && position !== undefined) {
        if (answer.repeated === true) this.repeated++
        ledger.acknowledge(number, position)
        return number
      }
      if (answer?.code === "stale-key") {
        this.unknown++
        return number
      }
      this.retries++
      // Through another one, perhaps.
      if (random() < 0.5) this.end()
      await pause(100 + 200 * random())
    }
  }

  end(): void {
    this.socket?.terminate()
    this.socket = undefined
  }

  /** `undefined` when there was none. */
  private ask(text: string, id: number): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      const socket = this.connected()
      if (socket === undefined) return resolve(undefined)
      const over = (answer?: Answer) => {
        clearTimeout(late)
        socket.off("message", heard).off("close", gone)
        if (answer === undefined) this.end()
        resolve(answer)
      }
      const heard = (data: Buffer) => {
        const answer = JSON.parse(data.toString()) as Answer
        if (answer.id === id) over(answer)
      }
      const gone = () => over()
      const late = setTimeout(gone, patience)
      socket.on("message", heard).on("close", gone)
      if (socket.readyState === WebSocket.OPEN) socket.send(text)
      else socket.once("open", () => socket.send(text))
    })
  }

  private connected(): WebSocket | undefined {
    if (this.socket !== undefined && this.socket.readyState <= WebSocket.OPEN) return this.socket
    const port = this.around.anyPort()
    if (port === undefined) return undefined
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { perMessageDeflate: false })
    this.socket.on("error", () => {})
    return this.socket
  }
}
