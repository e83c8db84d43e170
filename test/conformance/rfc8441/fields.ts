/**
 * Opening handshakes by RFC 8441 as lists of fields, one a line, written `name: value` or `:name: value`: a server gives
 * its response to a request, a client its request and what it makes of a response.
 */
import * as Result from "effect/Result"
import * as ExtendedConnect from "@millrace/core/codec/ExtendedConnect"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Negotiation from "@millrace/core/codec/Negotiation"

export type Lines = ReadonlyArray<string>

const toHeaders = (lines: Lines): Headers =>
  lines.map((line) => {
    const colon = line.indexOf(": ", 1)
    return [line.slice(0, colon), line.slice(colon + 2)]
  })

const toLines = (headers: Headers): Lines => headers.map(([name, value]) => `${name}: ${value}`)

/** The request that section 5.1 prints. */
export const asking: Lines = [
  ":method: CONNECT",
  ":protocol: websocket",
  ":scheme: https",
  ":path: /chat",
  ":authority: server.example.com",
  "sec-websocket-protocol: chat, superchat",
  "sec-websocket-extensions: permessage-deflate",
  "sec-websocket-version: 13",
  "origin: http://www.example.com"
]

/** And the answer to it. */
export const accepting: Lines = [":status: 200", "sec-websocket-protocol: chat"]

export const nameOf = (line: string): string => line.slice(0, line.indexOf(": ", 1))

/** Without the field of that name. */
export const without = (lines: Lines, name: string): Lines => lines.filter((line) => nameOf(line) !== name)

/** With `field` in the place of the one of its name. */
export const replacing = (lines: Lines, field: string): Lines =>
  lines.map((line) => (nameOf(line) === nameOf(field) ? field : line))

/** The values of the fields of that name. */
export const valuesOf = (lines: Lines, name: string): Lines =>
  lines.filter((line) => nameOf(line) === name).map((line) => line.slice(name.length + 2))

/** What a server that speaks "chat" answers, without its body. */
export const answer = (
  request: Lines,
  choose: (handshake: ExtendedConnect.ClientHandshake) => Negotiation.Chosen = () => ({})
): Lines => {
  const accepted = Result.map(ExtendedConnect.readRequest(toHeaders(request)), (handshake) => {
    const subprotocol = Negotiation.chooseSubprotocol(handshake, ["chat"])
    return Result.getOrThrow(ExtendedConnect.response(handshake, { subprotocol, ...choose(handshake) }))
  })
  return toLines(
    Result.isSuccess(accepted) ? accepted.success : Result.getOrThrow(ExtendedConnect.refuse(accepted.failure)).headers
  )
}

export const statusOf = (response: Lines): number => Number(valuesOf(response, ":status")[0])

/** What a server reads in a handshake that it accepts. */
export const readBy = (request: Lines): ExtendedConnect.ClientHandshake =>
  Result.getOrThrow(ExtendedConnect.readRequest(toHeaders(request)))

/** What a client sends. */
export const ask = (options: Partial<ExtendedConnect.RequestOptions> = {}): Lines =>
  toLines(
    Result.getOrThrow(
      ExtendedConnect.request({ scheme: "https", host: "server.example.com", target: "/chat", ...options })
    )
  )

/** Whether a client refuses to send what it is told to. */
export const refusesToAsk = (options: Partial<ExtendedConnect.RequestOptions>): boolean =>
  Result.isFailure(
    ExtendedConnect.request({ scheme: "https", host: "server.example.com", target: "/chat", ...options })
  )

/** What a client makes of a response: what was agreed on, or the tag of what is wrong. */
export const outcome = (response: Lines, wanted: Negotiation.Wanted = {}): Negotiation.Agreed | string => {
  const agreed = ExtendedConnect.verify(toHeaders(response), wanted)
  return Result.isSuccess(agreed) ? agreed.success : agreed.failure._tag
}
