/**
 * What commands say to a person, and how they show what somebody else has said.
 */
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

/** The network's own words before there is a connection, where a person needs better ones. */
export const unreachable = (url: string, cause: unknown): string => {
  const { code, message } = cause as Error & { readonly code?: string }
  switch (code) {
    case "ECONNREFUSED":
      return `nobody listens at ${url}`
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `there is no host with the name in ${url}`
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
