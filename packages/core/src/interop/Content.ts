/**
 * What was published, for wires that say it in words of their own: made once for all of them. Pure.
 */
import * as HubMessage from "../cluster/HubMessage.ts"
import { type JsonText, toJson } from "../cluster/JsonText.ts"
import type { Encoding, Publication } from "../cluster/Publication.ts"

/** A value of JSON, as its publisher wrote it. */
export interface Json {
  readonly _tag: "Json"
  readonly data: JsonText
  /** What the hub says of who said it, where a client of the hub did. */
  readonly from: string | undefined
  /** In milliseconds since 1970. */
  readonly time: number | undefined
}

export interface Bytes {
  readonly _tag: "Bytes"
  readonly bytes: Uint8Array
}

export type Content = Bytes | Json

const parse = (text: string): { readonly value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    return undefined
  }
}

/** Of a message that `HubMessage.encodeMessage` has printed what is in it; of other text its value, or itself. */
const read = (text: string): Json => {
  const parsed = parse(text)
  if (parsed === undefined) return { _tag: "Json", data: toJson(text), from: undefined, time: undefined }
  const data = HubMessage.dataOf(text)
  // Printed again, as there may be line breaks in it.
  if (data === undefined) return { _tag: "Json", data: toJson(parsed.value), from: undefined, time: undefined }
  const { from, time } = parsed.value as { readonly from?: unknown; readonly time?: unknown }
  return {
    _tag: "Json",
    data,
    from: typeof from === "string" ? from : undefined,
    time: typeof time === "number" ? time : undefined
  }
}

/** Never `undefined`. */
export const content: Encoding<Content> = {
  encode: ({ message: { message } }): Content =>
    message._tag === "Text" ? read(message.text) : { _tag: "Bytes", bytes: message.bytes }
}

export const of = (publication: Publication): Content => publication.encodedBy(content)!
