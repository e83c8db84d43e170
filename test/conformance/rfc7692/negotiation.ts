/**
 * permessage-deflate negotiated in the text of HTTP: what a server answers to the fields of a client, and what a client
 * makes of the fields of a server.
 */
import * as Result from "effect/Result"
import * as Handshake from "@millrace/core/codec/Handshake"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import { accepting, answer, ask, asking, sampleKey, toBytes, valuesOf } from "../rfc6455/handshake.ts"

export const field = "Sec-WebSocket-Extensions"

export interface Answered {
  /** The value of the field in the response; `undefined` when the response has none. */
  readonly response: string | undefined
  /** What the server goes on with; `undefined` when it does not compress. */
  readonly parameters: PerMessageDeflate.DeflateParameters | undefined
}

/** A server that is ready for permessage-deflate answers a client that sends fields of those values. */
export const answered = (
  values: string | ReadonlyArray<string>,
  options: Partial<PerMessageDeflate.ServerOptions> = {}
): Answered => {
  let parameters: PerMessageDeflate.DeflateParameters | undefined
  const offers = typeof values === "string" ? [values] : values
  const response = answer([...asking, ...offers.map((value) => `${field}: ${value}`)], {
    choose: ({ extensions }) => {
      const accepted = PerMessageDeflate.negotiate(extensions, {
        ...PerMessageDeflate.defaultServerOptions,
        ...options
      })
      parameters = accepted?.parameters
      return accepted === undefined ? {} : { extensions: [accepted.response] }
    }
  })
  return { response: valuesOf(response, field)[0], parameters }
}

export const answerTo = (values: string | ReadonlyArray<string>, options?: Partial<PerMessageDeflate.ServerOptions>) =>
  answered(values, options).response

/** An offer that asks for nothing, but for what is given. */
export const offer = (asked: Partial<PerMessageDeflate.Offer> = {}): PerMessageDeflate.Offer => ({
  serverNoContextTakeover: false,
  clientNoContextTakeover: false,
  serverMaxWindowBits: undefined,
  clientMaxWindowBits: undefined,
  ...asked
})

/** The value of the field that a client with those offers sends. */
export const offering = (...offers: ReadonlyArray<PerMessageDeflate.Offer>): string | undefined =>
  valuesOf(ask({ extensions: offers.map(PerMessageDeflate.printOffer) }), field)[0]

/**
 * What a client that made those offers goes on with when the server accepts it with a field of that value: the
 * parameters, "uncompressed", or "failed".
 */
export const madeOf = (
  value: string | undefined,
  ...offers: ReadonlyArray<PerMessageDeflate.Offer>
): PerMessageDeflate.DeflateParameters | "uncompressed" | "failed" => {
  const head = Result.getOrThrow(
    HttpHead.responseReader().push(toBytes(value === undefined ? accepting : [...accepting, `${field}: ${value}`]))
  )!.head
  const read = Handshake.verify(head, { key: sampleKey, extensions: offers.map(PerMessageDeflate.printOffer) })
  if (Result.isFailure(read)) return "failed"
  const parameters = PerMessageDeflate.verify(read.success.extensions, offers)
  return Result.isFailure(parameters) ? "failed" : (parameters.success ?? "uncompressed")
}

export const bits = [8, 9, 10, 11, 12, 13, 14, 15] as const

/** The windows at which something changes. */
const some = [8, 9, 10, 15] as const

/** Offers of all kinds. */
export const offers: ReadonlyArray<PerMessageDeflate.Offer> = [false, true].flatMap((serverNoContextTakeover) =>
  [false, true].flatMap((clientNoContextTakeover) =>
    [undefined, ...some].flatMap((serverMaxWindowBits) =>
      ([undefined, "any", ...some] as const).map((clientMaxWindowBits) => ({
        serverNoContextTakeover,
        clientNoContextTakeover,
        serverMaxWindowBits,
        clientMaxWindowBits
      }))
    )
  )
)

/** Servers of all kinds: what they would like of their own accord. */
export const servers: ReadonlyArray<Partial<PerMessageDeflate.ServerOptions>> = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverMaxWindowBits: 10 },
  { clientMaxWindowBits: 10 },
  { clientMaxWindowBits: 10, unlimitedClients: "NoContextTakeover" },
  { serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
  { smallestWindowBits: 8 }
]

/** What the words of a response mean by section 7.1, absent ones too, read by hand. */
export const meaning = (response: string): PerMessageDeflate.DeflateParameters => {
  const [, ...words] = response.split("; ")
  const window = (name: string) =>
    Number(
      words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1) ?? 15
    ) as PerMessageDeflate.WindowBits
  return {
    serverNoContextTakeover: words.includes("server_no_context_takeover"),
    clientNoContextTakeover: words.includes("client_no_context_takeover"),
    serverMaxWindowBits: window("server_max_window_bits"),
    clientMaxWindowBits: window("client_max_window_bits")
  }
}
