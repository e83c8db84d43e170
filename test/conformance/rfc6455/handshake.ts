/**
 * Opening handshakes in the text of HTTP: a server is given the lines of a request and gives those of its response; a
 * client gives the lines of its request and says what it makes of a response.
 */
import * as Result from "effect/Result"
import * as Handshake from "@millrace/core/codec/Handshake"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import * as Negotiation from "@millrace/core/codec/Negotiation"

export type Lines = ReadonlyArray<string>

/** One character is one byte. */
export const toBytes = (lines: Lines): Uint8Array =>
  Uint8Array.from(
    lines
      .map((line) => `${line}\r\n`)
      .join("")
      .concat("\r\n"),
    (character) => character.charCodeAt(0)
  )

const toLines = (bytes: Uint8Array): Lines =>
  String.fromCharCode(...bytes)
    .split("\r\n")
    .slice(0, -2)

/** The handshake that the RFC prints in section 1.2, without what is optional. */
export const asking: Lines = [
  "GET /chat HTTP/1.1",
  "Host: server.example.com",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13"
]

/** And the answer to it. */
export const accepting: Lines = [
  "HTTP/1.1 101 Switching Protocols",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
]

/** The 16 bytes of the key in `asking`: "the sample nonce". */
export const sampleKey = Uint8Array.from("the sample nonce", (character) => character.charCodeAt(0))

const starts = (line: string, name: string) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`)

/** Without the field of that name. */
export const without = (lines: Lines, name: string): Lines => lines.filter((line) => !starts(line, name))

/** With `field` in the place of the one of its name, or at the end. */
export const replacing = (lines: Lines, field: string): Lines => {
  const name = field.slice(0, field.indexOf(":"))
  return lines.some((line) => starts(line, name))
    ? lines.map((line) => (starts(line, name) ? field : line))
    : [...lines, field]
}

/** The values of the fields of that name. */
export const valuesOf = (lines: Lines, name: string): Lines =>
  lines.filter((line) => starts(line, name)).map((line) => line.slice(line.indexOf(":") + 1).trim())

export const statusOf = (lines: Lines): number => Number(lines[0]!.split(" ")[1])

export interface ServerSettings {
  /** In the order of the server's preference. */
  readonly subprotocols?: ReadonlyArray<string>
  readonly choose?: (handshake: Handshake.ClientHandshake) => Negotiation.Chosen
}

/** What a server answers: it reads the head, judges it, and accepts or refuses. */
export const answer = (request: Lines, { subprotocols = [], choose }: ServerSettings = {}): Lines => {
  const accepted = Result.gen(function* () {
    const read = yield* HttpHead.requestReader().push(toBytes(request))
    const handshake = yield* Handshake.readRequest(read!.head)
    yield* Negotiation.checkOrigin(handshake)
    const subprotocol = Negotiation.chooseSubprotocol(handshake, subprotocols)
    return Result.getOrThrow(Handshake.response(handshake, { subprotocol, ...choose?.(handshake) }))
  })
  const response = Result.isSuccess(accepted)
    ? accepted.success
    : Result.getOrThrow(Handshake.refuse(accepted.failure)).response
  return toLines(Result.getOrThrow(HttpHead.printResponse(response)))
}

/** What a server reads in a handshake that it accepts. */
export const readBy = (request: Lines): Handshake.ClientHandshake | undefined => {
  let seen: Handshake.ClientHandshake | undefined
  answer(request, {
    choose: (handshake) => {
      seen = handshake
      return {}
    }
  })
  return seen
}

/** The extensions that a server reads in fields of those values. */
export const extensionsIn = (...values: ReadonlyArray<string>) =>
  readBy([...asking, ...values.map((value) => `Sec-WebSocket-Extensions: ${value}`)])?.extensions

/** Whether a server can be told to choose that, by a client that offers the subprotocol "chat" and the extension "foo". */
export const canChoose = (chosen: Negotiation.Chosen): boolean =>
  Result.isSuccess(
    Handshake.response(readBy([...asking, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: foo"])!, chosen)
  )

/** What a client sends. */
export const ask = (options: Partial<Handshake.RequestOptions> = {}): Lines =>
  toLines(
    Result.getOrThrow(
      Result.flatMap(
        Handshake.request({ host: "server.example.com", target: "/chat", key: sampleKey, ...options }),
        HttpHead.printRequest
      )
    )
  )

/** Whether a client refuses to send what it is told to. */
export const refusesToAsk = (options: Partial<Handshake.RequestOptions>): boolean =>
  Result.isFailure(Handshake.request({ host: "server.example.com", target: "/chat", key: sampleKey, ...options }))

/** What a client makes of a response: "established", or the tag of what is wrong with it and the field it is in. */
export const outcome = (response: Lines, wanted: Negotiation.Wanted = {}): string => {
  const read = Result.flatMap(
    Result.mapError(HttpHead.responseReader().push(toBytes(response)), ({ _tag }) => _tag as string),
    (read) =>
      Result.mapError(Handshake.verify(read!.head, { ...wanted, key: sampleKey }), (error) =>
        error._tag === "HandshakeViolation" ? `violation in ${error.field}` : error._tag
      )
  )
  return Result.isSuccess(read) ? "established" : read.failure
}
