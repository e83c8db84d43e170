/**
 * The flags of permessage-deflate: RFC 7692 section 7.1, each parameter by its own name.
 */
import { defaultServerOptions, type WindowBits } from "@millrace/core/codec/PerMessageDeflate"
import type { Extension } from "@millrace/core/connection/Extension"
import * as Option from "effect/Option"
import * as Flag from "effect/cli/Flag"
import * as NodeDeflate from "../NodeDeflate.ts"
import { parseBytes } from "./flags.ts"

const flag = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

const { smallestWindowBits } = defaultServerOptions

const windowBits = (name: string, whose: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("bits"),
    Flag.withDescription(`The largest window of the ${whose}, ${smallestWindowBits} to 15 bits. Implies --deflate.`),
    Flag.filterMap(
      (text) => {
        const bits = /^\d{1,2}$/.test(text) ? Number(text) : 0
        return bits >= smallestWindowBits && bits <= 15 ? Option.some(bits as WindowBits) : Option.none()
      },
      () => `a number of bits from ${smallestWindowBits} to 15`
    ),
    Flag.optional
  )

/** To be spread among the flags of a command. `threshold` is from where on it compresses, unless it is told otherwise. */
export const flags = (threshold: string) => ({
  deflate: flag("deflate", "Compress messages, by permessage-deflate, where the other end can."),
  deflateThreshold: Flag.String("deflate-threshold").pipe(
    Flag.withMetavar("size"),
    Flag.withDescription(
      `Send messages shorter than this as they are, such as 0, 512 or 4KiB. Default ${threshold}. Implies --deflate.`
    ),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(text.trim() === "0" ? 0 : parseBytes(text)),
      () => "a size such as 0, 512 or 4KiB"
    ),
    Flag.optional
  ),
  serverNoContextTakeover: flag(
    "server-no-context-takeover",
    "The server compresses each message by itself. Implies --deflate."
  ),
  clientNoContextTakeover: flag(
    "client-no-context-takeover",
    "The client compresses each message by itself. Implies --deflate."
  ),
  serverMaxWindowBits: windowBits("server-max-window-bits", "server"),
  clientMaxWindowBits: windowBits("client-max-window-bits", "client")
})

/** What `flags` are read into. */
export interface Values {
  readonly deflate: boolean
  readonly deflateThreshold: Option.Option<number>
  readonly serverNoContextTakeover: boolean
  readonly clientNoContextTakeover: boolean
  readonly serverMaxWindowBits: Option.Option<WindowBits>
  readonly clientMaxWindowBits: Option.Option<WindowBits>
}

/** The extension that was asked for, or none. */
export const extensions = (values: Values, threshold: number): ReadonlyArray<Extension> => {
  const { clientNoContextTakeover, deflate, deflateThreshold, serverNoContextTakeover } = values
  const serverMaxWindowBits = Option.getOrUndefined(values.serverMaxWindowBits)
  const clientMaxWindowBits = Option.getOrUndefined(values.clientMaxWindowBits)
  const isWanted =
    deflate ||
    clientNoContextTakeover ||
    serverNoContextTakeover ||
    serverMaxWindowBits !== undefined ||
    clientMaxWindowBits !== undefined ||
    Option.isSome(deflateThreshold)
  if (!isWanted) return []
  return [
    NodeDeflate.compression({
      threshold: Option.getOrElse(deflateThreshold, () => threshold),
      server: {
        serverNoContextTakeover,
        clientNoContextTakeover,
        serverMaxWindowBits: serverMaxWindowBits ?? 15,
        clientMaxWindowBits: clientMaxWindowBits ?? 15
      },
      offers: [
        {
          serverNoContextTakeover,
          clientNoContextTakeover,
          serverMaxWindowBits,
          clientMaxWindowBits: clientMaxWindowBits ?? "any"
        }
      ]
    })
  ]
}
