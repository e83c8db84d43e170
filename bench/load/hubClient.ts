/** What clients of the hub say and hear, with no more of docs/protocol.md than a load generator needs. */
import * as Deferred from "../Deferred.ts"
import * as Connection from "./Connection.ts"
import * as frames from "./frames.ts"

export const say = (connection: Connection.Connection, message: object): void =>
  connection.write(frames.encode("text", Buffer.from(JSON.stringify(message))))

/** Comes back when the hub has said welcome. */
export const open = async (port: number, handlers: Connection.Handlers): Promise<Connection.Connection> => {
  const greeting = Deferred.make<Connection.Reply>()
  const connection = await Connection.open(port, "", { ...handlers, greeting }, "/ws")
  const said = (await greeting.promise).payload.toString()
  if (!said.startsWith(`{"type":"welcome"`)) throw new Error(`no welcome: ${said}`)
  return connection
}

/** Comes back when the client is in the topic; nothing else may be said to it meanwhile. */
export const subscribe = async (connection: Connection.Connection, topic: string): Promise<void> => {
  const answer = connection.next()
  say(connection, { type: "subscribe", topic })
  const said = (await answer).payload.toString()
  if (!said.startsWith(`{"type":"subscribed"`)) throw new Error(`not subscribed: ${said}`)
}
