/** RFC 6455 section 5.8: no extension is in use that the handshake did not agree on. */
import { expect } from "vitest"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, roles } from "./endpoint.ts"
import { accepting, answer, asking, outcome, statusOf } from "./handshake.ts"

clause.each("5.8-1", "what extensions may use is refused while none was agreed on", roles, (role) => {
  // "Hello" compressed as RFC 7692 section 7.2.3.1 prints it, and a frame with an opcode that is reserved.
  for (const wire of ["c1 07 f2 48 cd c9 c9 07 00", "83 01 00", "8b 00"]) {
    const endpoint = new Endpoint(role)
    endpoint.receive(wire)
    expect(endpoint.messages).toEqual([])
    expectFailed(endpoint, 1002)
  }
})

clause("5.8-1", "both ends settle it in the handshake: an answer to no offer does not pass, on either side", () => {
  const extensions = [{ name: "permessage-deflate", params: [] }]
  const answering = [...accepting, "Sec-WebSocket-Extensions: permessage-deflate"]
  expect(outcome(answering, { extensions })).toBe("established")
  expect(outcome(answering)).toBe("violation in Sec-WebSocket-Extensions")
  expect(() => answer(asking, { choose: () => ({ extensions }) })).toThrow()
  const offering = [...asking, "Sec-WebSocket-Extensions: permessage-deflate"]
  expect(statusOf(answer(offering, { choose: () => ({ extensions }) }))).toBe(101)
})
