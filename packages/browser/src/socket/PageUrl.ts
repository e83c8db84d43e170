/** What the addresses of a page are relative to. */

/** That of the page, or of the worker's script. */
export const base = (): string | undefined => globalThis.document?.baseURI ?? globalThis.location?.href

/** As a link would lead; what leads nowhere stays as it is, for whoever is asked to open it. */
export const resolve = (url: string | URL): string =>
  URL.canParse(`${url}`, base()) ? new URL(url, base()).href : `${url}`
