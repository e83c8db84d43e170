/**
 * The web origins of the nodes of a cluster that clients can reach. A page that one node has served goes to another when
 * its own has gone, so each lets in the pages of the others, and tells browsers that its own page may go there.
 */
import * as Origin from "@millrace/core/codec/Origin"

/** How many there are at most, as they go into a field of a response: with these it has up to some 3 KiB. */
export const max = 32

/**
 * Those of the nodes there are, and of the last that there were: the pages of a node that has gone are the ones that come.
 */
export class Remembered {
  private readonly origins = new Map<string, Origin.Origin>()

  /** A node is there. An address that browsers cannot reach has no origin. */
  add(url: string): void {
    for (const [text, origin] of texts([url])) {
      this.origins.delete(text)
      this.origins.set(text, origin)
      if (this.origins.size > max) this.origins.delete(this.origins.keys().next().value!)
    }
  }

  list(): ReadonlyArray<Origin.Origin> {
    return [...this.origins.values()]
  }
}

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
