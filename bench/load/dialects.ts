/**
 * What requests look like to each server, as bytes, with no more of its protocol than that takes: a request is a template
 * whose number is written into it, so that sending costs next to nothing.
 */
import type { Connection, Reply } from "./Connection.ts"

/** 100 bytes of JSON, as an application might ask with. */
export const payload = {
  room: "orders/north",
  user: { id: 48_213, name: "Ada Marsh" },
  quantity: 12,
  urgent: false,
  note: "before ten"
}

const json = JSON.stringify(payload)

export interface Dialect {
  /** Where the WebSocket is. */
  readonly target: string
  /** Whether the server speaks first. */
  readonly greets: boolean
  /** Talks until requests may be sent. */
  readonly begin: (connection: Connection, send: (text: string) => void, greeting: Promise<Reply>) => Promise<void>
  /** The request of a number of nine digits. */
  readonly request: (id: string) => string
  /** The reply to it, as it is expected, whatever the order of its fields. */
  readonly reply: (id: string) => unknown
  /** What is JSON of a message. */
  readonly jsonOf: (text: string) => string
}

export const dialects: Readonly<Record<"millrace" | "effect-rpc" | "socket.io", Dialect>> = {
  millrace: {
    target: "/",
    greets: false,
    begin: async (connection, send) => {
      const welcome = connection.next()
      send(`["hello",{"contract":"bench","version":"1","hash":""}]`)
      const said = (await welcome).payload.toString()
      if (!said.startsWith(`["welcome",`)) throw new Error(`no welcome: ${said}`)
    },
    request: (id) => `["ask",${id},"echo",${json}]`,
    reply: (id) => ["ok", Number(id), payload],
    jsonOf: (text) => text
  },
  "effect-rpc": {
    target: "/",
    greets: false,
    begin: () => Promise.resolve(),
    request: (id) => `{"_tag":"Request","id":"${id}","tag":"echo","payload":${json},"headers":[]}`,
    reply: (id) => ({ _tag: "Exit", requestId: id, exit: { _tag: "Success", value: payload } }),
    jsonOf: (text) => text
  },
  "socket.io": {
    target: "/socket.io/?EIO=4&transport=websocket",
    greets: true,
    begin: async (connection, send, greeting) => {
      const opened = (await greeting).payload.toString()
      if (!opened.startsWith("0{")) throw new Error(`no session: ${opened}`)
      const connected = connection.next()
      send("40")
      const said = (await connected).payload.toString()
      if (!said.startsWith("40{")) throw new Error(`not connected: ${said}`)
    },
    request: (id) => `42${id}["echo",${json}]`,
    reply: () => [payload],
    jsonOf: (text) => text.slice(text.indexOf("["))
  }
}
