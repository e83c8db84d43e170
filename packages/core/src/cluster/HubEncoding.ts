/**
 * What the hub writes to many: a publication with its position, made once for all WebSockets, and notices in the words of
 * `HubMessage`. Pure.
 */
import * as Prepared from "../connection/Prepared.ts"
import * as Message from "../protocol/Message.ts"
import type { ServerMessage } from "./HubMessage.ts"
import type { Notice } from "./Member.ts"
import * as Position from "./Position.ts"
import type { Encoding } from "./Publication.ts"

const encoder = new TextEncoder()

/** How the messages begin that `HubMessage.encodeMessage` prints: nothing else is touched. */
const opening = encoder.encode('{"type":"message",')
const closingBrace = 0x7d

const isMessage = (bytes: Uint8Array): boolean =>
  bytes.length > opening.length &&
  bytes[bytes.length - 1] === closingBrace &&
  opening.every((byte, at) => bytes[at] === byte)

/**
 * With `"position"` as its last member, where the publication has one and is a message that the hub has printed; anything
 * else as it is. The text is not read: the bytes go in front of the brace that closes it.
 */
export const withPosition: Encoding<Prepared.Prepared> = {
  encode: ({ message: prepared, position }) => {
    const { message } = prepared
    if (position === undefined || message._tag !== "Text") return prepared
    const { bytes } = message
    if (!isMessage(bytes)) return prepared
    const member = encoder.encode(`,"position":${JSON.stringify(position)}}`)
    const all = new Uint8Array(bytes.length - 1 + member.length)
    all.set(bytes)
    all.set(member, bytes.length - 1)
    return Prepared.make(new Message.Text(all, message.compress))
  }
}

/** A position as it is said; `undefined` for none. */
const printed = (position: Position.Position | undefined): string | undefined =>
  position === undefined ? undefined : Position.print(position)

/** What a client is told beside messages. */
export const notice = (notice: Notice): ServerMessage => {
  switch (notice._tag) {
    case "Gap":
      return { type: "gap", topics: notice.topics, from: printed(notice.from), to: printed(notice.to) }
    case "Advanced":
      return { type: "position", topic: notice.topic, position: Position.print(notice.position) }
    case "Kicked":
      return { type: "unsubscribed", topic: notice.topic, reason: "kicked", message: notice.reason }
    case "Moved":
      return { type: "moved", from: notice.from, to: notice.to, position: printed(notice.position) }
  }
}
