/** The `Receiver` of `ws`, with the options that its server gives it; messages come out as validated bytes. */
import type { Writable } from "node:stream"
import * as ws from "ws"
import type { Open } from "./Codec.ts"

// Exported by `ws` 8 and missing in its types.
const { Receiver } = ws as unknown as {
  readonly Receiver: new (options: { readonly isServer: boolean; readonly maxPayload: number }) => Writable
}

export const open: Open = (message) => {
  const receiver = new Receiver({ isServer: true, maxPayload: 100 * 1024 * 1024 })
  receiver.on("message", (data: Buffer) => message(data.length))
  return { feed: (chunk) => receiver.write(chunk) }
}
