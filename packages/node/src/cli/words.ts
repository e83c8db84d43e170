/**
 * What commands say to a person, and how they show what somebody else has said.
 */
import * as CloseCode from "@millrace/core/codec/CloseCode"
import type { OpenError } from "@millrace/core/connection/OpenError"
import * as Console from "effect/Console"
import type * as Effect from "effect/Effect"

/** A sentence on standard error, which belongs to the command. */
export const say = (sentence: string): Effect.Effect<void> => Console.error(`millrace: ${sentence}`)

const escapes: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\t"]
])

/** Text of a peer on one line, from which it cannot write to the rest of the terminal. */
export const escape = (text: string): string =>
  text.replaceAll(
    /\p{Control}/gu,
    (control) => escapes.get(control) ?? `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`
  )

const hexEscape = (character: string): string => `\\u{${character.codePointAt(0)!.toString(16)}}`

/** The same where it stands in a line among other things: nothing of it moves, breaks or turns round the rest. */
export const line = (text: string): string =>
  escape(text)
    .replaceAll("\t", "\\t")
    .replaceAll(/[\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, hexEscape)

/** A line of JSON. JSON leaves the control characters behind ASCII as they are, and a terminal obeys them. */
export const json = (value: unknown): string =>
  JSON.stringify(value).replaceAll(
    /[\u007f-\u009f]/g,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

/** What a Close says: its code, what that is called, and the reason. The reason is not escaped. */
export const closeStatus = ({ code, reason }: CloseCode.CloseStatus): string => {
  const name = Object.entries(CloseCode.CloseCode).find(([, known]) => known === code)?.[0]
  const spelled = name?.replaceAll(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`)
  return `${code}${spelled === undefined ? "" : ` (${spelled})`}${reason === "" ? "" : ` ${reason}`}`
}

/** The network's own words before there is a connection, where a person needs better ones. */
export const unreachable = (url: string, cause: unknown): string => {
  const { code, message } = cause as Error & { readonly code?: string }
  switch (code) {
    case "ECONNREFUSED":
      return `nobody listens at ${url}`
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `there is no host with the name in ${url}`
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return (
        `nobody that this machine trusts vouches for the certificate of ${url}; ` +
        "if you do, name the file of its issuer in NODE_EXTRA_CA_CERTS"
      )
    case "ECONNRESET":
      return `the server at ${url} ended the connection before it was open`
    default:
      return `cannot connect to ${url}: ${message}`
  }
}

/** The most characters that are shown of what a server says about a refusal. */
const longestRefusal = 500

/** A refusal, and what the server says about it. */
export const refusal = ({ message, text }: { readonly message: string; readonly text: string }): string => {
  const said = escape(text.trim())
  const shown = said.length > longestRefusal ? `${said.slice(0, longestRefusal)} ...` : said
  return shown === "" ? escape(message) : `${escape(message)}: ${shown}`
}

/** Why there is no connection, as a sentence. */
export const unopened = (url: string, { reason }: OpenError): string => {
  if (reason._tag === "TransportError") return unreachable(url, reason.cause)
  return reason._tag === "Refused" ? refusal(reason) : reason.message
}

/** Why a file cannot be read or written, as a sentence. `doing` is which of the two. */
export const noFile = (doing: "read" | "written", path: string, cause: unknown): string => {
  const { code, message } = cause as Error & { readonly code?: string }
  const named = escape(path)
  switch (code) {
    case "ENOENT":
      return doing === "read" ? `there is no file ${named}` : `there is no folder for the file ${named}`
    case "EISDIR":
      return `${named} is a folder and no file`
    case "EACCES":
    case "EPERM":
      return `${named} may not be ${doing} by you`
    default:
      return `${named} cannot be ${doing}: ${escape(message)}`
  }
}
