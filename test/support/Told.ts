/** What a transport has told its receiver. */
import type { Receiver } from "@millrace/core/connection/Transport"
import type { TransportError } from "@millrace/core/connection/WebSocketError"

export class Told implements Receiver {
  text = ""
  drains = 0
  readonly ends: Array<TransportError | undefined> = []
  data(chunk: Uint8Array): void {
    this.text += Buffer.from(chunk).toString()
  }
  drained(): void {
    this.drains++
  }
  ended(error: TransportError | undefined): void {
    this.ends.push(error)
  }
}
