/**
 * What a page may say in a Close: 1000 and 3000 to 4999, or nothing at all. WHATWG WebSockets section 3.1, `close()`.
 */
import * as CloseCode from "@millrace/core/codec/CloseCode"

/** What is added to a code that the protocol has and a page may not send, such as 1011: it becomes 4011. */
const shift = 3_000

/**
 * The code that a page sends in the place of `code`: the same where it may; 1000 for 1001, both of which are ordinary;
 * 4002 to 4014 for 1002 to 1014. `undefined` for a code that no endpoint may send.
 */
export const codeFor = (code: number): number | undefined => {
  if (code === CloseCode.CloseCode.noStatus) return code
  if (!CloseCode.isOnWire(code)) return undefined
  if (code >= 3_000 || code === CloseCode.CloseCode.normal) return code
  return code === CloseCode.CloseCode.goingAway ? CloseCode.CloseCode.normal : code + shift
}
