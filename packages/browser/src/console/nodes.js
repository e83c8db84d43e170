/**
 * The addresses at which there is a node to go to: where this page came from, and those that the hub has told. When one
 * cannot be reached, the next is tried. The page's own address bar stays as it is.
 */

const maxAddresses = 33

/**
 * Where a node is, as an address that ends in "/"; nothing where a page like this one may not go.
 *
 * @param {string} url
 */
const normal = (url) => {
  const address = URL.parse(url.replace(/^ws/i, "http"))
  const isAllowed = address?.protocol === "https:" || (address?.protocol === "http:" && location.protocol === "http:")
  if (address === null || !isAllowed) return undefined
  address.search = ""
  address.hash = ""
  if (!address.pathname.endsWith("/")) address.pathname += "/"
  return address.href
}

/** Where this page came from. */
export const home = new URL(".", location.href.replace(/[?#].*/, "")).href

/** @type {ReadonlyArray<string>} */
let known = [home]
let current = home

/**
 * Origins to which the browser does not let this page go: its policy is of the time when it was loaded, and knows no node
 * that came since.
 *
 * @type {Set<string>}
 */
const barred = new Set()

document.addEventListener("securitypolicyviolation", ({ blockedURI, effectiveDirective }) => {
  if (effectiveDirective !== "connect-src") return
  barred.add(new URL(blockedURI.replace(/^ws/, "http"), home).origin)
  learn(known)
})

/**
 * Which nodes there are, as the hub tells. The page's own is always one.
 *
 * @param {ReadonlyArray<string>} urls
 */
export const learn = (urls) => {
  const found = new Set([home])
  if (!barred.has(new URL(current).origin)) found.add(current)
  for (const url of urls) {
    const address = normal(url)
    if (address !== undefined && !barred.has(new URL(address).origin) && found.size < maxAddresses) found.add(address)
  }
  known = [...found]
}

/** The address of the node that the page hangs on, or tries to. */
export const address = () => current

/** What people call it. */
export const host = () => new URL(current).host

export const count = () => known.length

/** Goes on to the next, and to the first behind the last. */
export const next = () => {
  current = known[(known.indexOf(current) + 1) % known.length] ?? home
}
