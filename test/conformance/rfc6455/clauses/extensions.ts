/** Section 9 of RFC 6455: extensions. */
import { ours } from "../../clauses.ts"

export const extensions = [
  ours("9-1", "server", "A server MUST NOT respond with any extension not requested by the client."),
  ours(
    "9-2",
    "both",
    "If extension parameters are included in negotiations between the client and the server, those parameters MUST be chosen in accordance with the specification of the extension to which the parameters apply."
  ),

  ours(
    "9.1-1",
    "both",
    "If a value is received by either the client or the server during negotiation that does not conform to the ABNF below, the recipient of such malformed data MUST immediately _Fail the WebSocket Connection_."
  ),
  ours(
    "9.1-2",
    "both",
    "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST conform to the 'token' ABNF."
  ),
  ours("9.1-3", "both", "Any extension-token used MUST be a registered token (see Section 11.4)."),
  ours("9.1-4", "both", "The parameters supplied with any given extension MUST be defined for that extension."),
  ours(
    "9.1-5",
    "client",
    "Note that the client is only offering to use any advertised extensions and MUST NOT use them unless the server indicates that it wishes to use the extension."
  )
]
