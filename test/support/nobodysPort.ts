/**
 * A port at which nobody listens, and nobody begins to in the middle of a test: IANA has given 4 to nobody, no system
 * hands it out to who asks for any, and no `fetch` refuses it. One that was free a moment ago may be another test's.
 */
export const nobodysPort = 4
