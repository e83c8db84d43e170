/**
 * The web origins of the nodes of a cluster that clients can reach. A page that one node has served goes to another when
 * its own has gone, so each lets in the pages of the others, and tells browsers that its own page may go there.
 */
import * as Origin from "@millrace/core/codec/Origin"

/** How many there are at most, as they go into a field of a response: with these it has up to some 3 KiB. */
export const max = 32

/** Those of the addresses of nodes, each once. An address that browsers cannot reach has none. */
export const of = (urls: ReadonlyArray<string>): ReadonlyArray<Origin.Origin> => [...texts(urls)].map(([, it]) => it)

const texts = (urls: ReadonlyArray<string>): ReadonlyMap<string, Origin.Origin> => {
  const found = new Map<string, Origin.Origin>()
  for (const url of urls) {
    if (found.size === max) break
    const text = URL.parse(url.replace(/^ws/i, "http"))?.origin ?? ""
    // The host of a URL may have ";" and "," in it, which have a meaning in a policy; that of an origin here may not.
    const origin = Origin.parse(text)
    if (origin?.scheme === "http" || origin?.scheme === "https") found.set(text, origin)
  }
  return found
}

/** Where a page may connect to, for `connect-src` of Content-Security-Policy: its own node and these, by HTTP and WebSocket. */
export const sources = (urls: ReadonlyArray<string>): string =>
  ["'self'", ...[...texts(urls).keys()].flatMap((text) => [text, text.replace("http", "ws")])].join(" ")
