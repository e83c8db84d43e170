/**
 * One request of the way to a connection: where it goes, what it tells, and where a redirect leads from there.
 */
import type { ConnectionOptions } from "node:tls"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Redirection from "@millrace/core/codec/Redirection"
import { InvalidUrl } from "@millrace/core/connection/OpenError"
import * as Result from "effect/Result"

/** What `node:tls` takes, apart from where to connect. Certificates are verified. */
export type TlsOptions = Omit<
  ConnectionOptions,
  "ALPNProtocols" | "allowHalfOpen" | "host" | "onread" | "path" | "port" | "signal" | "socket" | "timeout"
>

/** Where a server is. */
export interface Address {
  /** `ws:` or `wss:`. On a unix socket the host is what the server there is told. */
  readonly url: URL
  readonly socketPath: string | undefined
}

/** Where to, and what only this server is to know. */
export interface Hop extends Address {
  readonly headers: Headers
  readonly tls: TlsOptions | undefined
}

/** What of a client's options the first request needs. */
export interface Options {
  readonly headers?: Headers | Readonly<Record<string, string>> | undefined
  readonly tls?: TlsOptions | undefined
  readonly socketPath?: string | undefined
}

const protocols: ReadonlyMap<string, "ws:" | "wss:"> = new Map([
  ["ws:", "ws:"],
  ["http:", "ws:"],
  ["ws+unix:", "ws:"],
  ["wss:", "wss:"],
  ["https:", "wss:"],
  ["wss+unix:", "wss:"]
])

/** RFC 6455 section 3, and the same for `http:`, `https:` and unix sockets. */
const parse = (input: string | URL): Result.Result<Address, InvalidUrl> => {
  const invalid = (detail: string) => Result.fail(new InvalidUrl({ url: `${input}`, detail }))
  if (!URL.canParse(`${input}`)) return invalid("it is no URL")
  const url = new URL(input)
  const protocol = protocols.get(url.protocol)
  if (protocol === undefined) return invalid("its scheme is neither ws: nor wss:")
  if (url.hash !== "" || url.href.endsWith("#")) return invalid("it has a fragment; a # is written %23")
  if (url.username !== "" || url.password !== "") return invalid("it has a user; credentials go into a header")
  if (!url.protocol.endsWith("+unix:")) {
    url.protocol = protocol
    return Result.succeed({ url, socketPath: undefined })
  }
  const [path = "", ...rest] = url.pathname.split(":")
  if (path === "" || url.host !== "") return invalid("it names no unix socket")
  const target = rest.join(":") || "/"
  if (!target.startsWith("/")) return invalid("what follows its unix socket is no path")
  try {
    const socketPath = decodeURIComponent(path)
    return Result.succeed({ url: new URL(`${protocol}//localhost${target}${url.search}`), socketPath })
  } catch {
    return invalid("the path of its unix socket is not percent-encoded UTF-8")
  }
}

export const isSecure = ({ url }: Address): boolean => url.protocol === "wss:"

/** The host without the brackets that a URL has around an IPv6 address. */
export const hostname = ({ url }: Address): string =>
  url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname

/** What is asked for there: a path, and maybe a query. */
export const target = ({ url }: Address): string => `${url.pathname}${url.search}`

/** The first request. Fails with `InvalidUrl`, the caller's fault. */
export const first = (url: string | URL, options: Options): Result.Result<Hop, InvalidUrl> =>
  Result.map(parse(url), (address) => {
    const { headers = [], socketPath = address.socketPath, tls } = options
    return {
      url: address.url,
      socketPath,
      headers: Symbol.iterator in headers ? (headers as Headers) : Object.entries(headers),
      tls
    }
  })

/** Without what shows who we are, and what is meant for one server only. */
export const anonymous = ({
  cert: _cert,
  key: _key,
  passphrase: _passphrase,
  pfx: _pfx,
  servername: _name,
  ...rest
}: TlsOptions): TlsOptions => rest

/** Where a redirect leads, or why it is not followed. */
export const next = (hop: Hop, location: string | undefined): Result.Result<Hop, string> =>
  Result.flatMap(Redirection.resolve(hop.url, location), (target) => {
    const address = parse(target)
    if (Result.isFailure(address)) {
      return Result.fail(`it redirects to a URL that cannot be opened: ${address.failure.detail}`)
    }
    const { socketPath, url } = address.success
    if (socketPath !== undefined) return Result.fail("it redirects to a unix socket")
    if (url.origin === hop.url.origin) return Result.succeed({ ...hop, url })
    const headers = Redirection.toldToOthers(hop.headers)
    return Result.succeed({ url, socketPath, headers, tls: hop.tls && anonymous(hop.tls) })
  })
