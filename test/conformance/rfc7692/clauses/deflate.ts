/** Section 7 of RFC 7692: permessage-deflate, its parameters and what it does to messages. */
import { ours } from "../../clauses.ts"

export const deflate = [
  ours(
    "7-1",
    "server",
    "A server MUST decline an extension negotiation offer for this extension if any of the following conditions are met: The negotiation offer contains an extension parameter not defined for use in an offer. The negotiation offer contains an extension parameter with an invalid value. The negotiation offer contains multiple extension parameters with the same name. The server doesn't support the offered configuration."
  ),
  ours(
    "7-2",
    "client",
    "A client MUST _Fail the WebSocket Connection_ if the peer server accepted an extension negotiation offer for this extension with an extension negotiation response meeting any of the following conditions: The negotiation response contains an extension parameter not defined for use in a response. The negotiation response contains an extension parameter with an invalid value. The negotiation response contains multiple extension parameters with the same name. The client does not support the configuration that the response represents."
  ),

  ours(
    "7.1.1.2-1",
    "client",
    'A client MUST support the "client_no_context_takeover" extension parameter in an extension negotiation response.'
  ),

  ours(
    "7.1.2.1-1",
    "client",
    "This parameter has a decimal integer value without leading zeroes between 8 to 15, inclusive, indicating the base-2 logarithm of the LZ77 sliding window size, and MUST conform to the ABNF below. server-max-window-bits = 1*DIGIT"
  ),
  ours(
    "7.1.2.1-2",
    "server",
    'The "server_max_window_bits" extension parameter in an extension negotiation response has a decimal integer value without leading zeroes between 8 to 15, inclusive, indicating the base-2 logarithm of the LZ77 sliding window size, and MUST conform to the ABNF below. server-max-window-bits = 1*DIGIT'
  ),

  ours(
    "7.1.2.2-1",
    "client",
    "This parameter has no value or a decimal integer value without leading zeroes between 8 to 15 inclusive indicating the base-2 logarithm of the LZ77 sliding window size. If a value is specified for this parameter, the value MUST conform to the ABNF below. client-max-window-bits = 1*DIGIT"
  ),
  ours(
    "7.1.2.2-2",
    "server",
    'The "client_max_window_bits" extension parameter in an extension negotiation response has a decimal integer value without leading zeroes between 8 to 15 inclusive indicating the base-2 logarithm of the LZ77 sliding window size and MUST conform to the ABNF below. client-max-window-bits = 1*DIGIT'
  ),
  ours(
    "7.1.2.2-3",
    "server",
    'If a received extension negotiation offer doesn\'t have the "client_max_window_bits" extension parameter, the corresponding extension negotiation response to the offer MUST NOT include the "client_max_window_bits" extension parameter.'
  ),

  ours(
    "7.1.3-1",
    "server",
    'Since the "client_max_window_bits" extension parameter is not included in this extension negotiation offer, the server must not accept the offer with an extension negotiation response that includes the "client_max_window_bits" extension parameter.'
  ),

  ours(
    "7.2.1-1",
    "both",
    'When any DEFLATE block with the "BFINAL" bit set to 1 doesn\'t end at a byte boundary, an endpoint MUST add minimal padding bits of 0 to make it end at a byte boundary.'
  ),
  ours("7.2.1-2", "both", "Note that for non-final fragments, the removal of 0x00 0x00 0xff 0xff MUST NOT be done."),
  ours(
    "7.2.1-3",
    "both",
    "An endpoint MUST NOT use an LZ77 sliding window longer than 32,768 bytes to compress messages to send."
  ),
  ours(
    "7.2.1-4",
    "client",
    'If the "agreed parameters" contain the "client_no_context_takeover" extension parameter, the client MUST start compressing each new message with an empty LZ77 sliding window.'
  ),
  ours(
    "7.2.1-5",
    "server",
    'If the "agreed parameters" contain the "server_no_context_takeover" extension parameter, the server MUST start compressing each new message with an empty LZ77 sliding window.'
  ),
  ours(
    "7.2.1-6",
    "client",
    'If the "agreed parameters" contain the "client_max_window_bits" extension parameter with a value of w, the client MUST NOT use an LZ77 sliding window longer than the w-th power of 2 bytes to compress messages to send.'
  ),
  ours(
    "7.2.1-7",
    "server",
    'If the "agreed parameters" contain the "server_max_window_bits" extension parameter with a value of w, the server MUST NOT use an LZ77 sliding window longer than the w-th power of 2 bytes to compress messages to send.'
  ),

  ours(
    "7.2.2-1",
    "client",
    'If the "agreed parameters" contain the "server_no_context_takeover" extension parameter, the client MAY decompress each new message with an empty LZ77 sliding window. Otherwise, the client MUST decompress each new message using the LZ77 sliding window used to process the last compressed message.'
  ),
  ours(
    "7.2.2-2",
    "server",
    'If the "agreed parameters" contain the "client_no_context_takeover" extension parameter, the server MAY decompress each new message with an empty LZ77 sliding window. Otherwise, the server MUST decompress each new message using the LZ77 sliding window used to process the last compressed message.'
  ),
  ours(
    "7.2.2-3",
    "server",
    'Note that even if the client has included the "client_no_context_takeover" extension parameter in its offer, the server MUST decompress each new message using the LZ77 sliding window used to process the last compressed message if the "agreed parameters" don\'t contain the "client_no_context_takeover" extension parameter.'
  ),
  ours(
    "7.2.2-4",
    "client",
    'If the "agreed parameters" contain the "server_max_window_bits" extension parameter with a value of w, the client MAY reduce the size of its LZ77 sliding window to decompress received messages down to the w-th power of 2 bytes. Otherwise, the client MUST use a 32,768-byte LZ77 sliding window to decompress received messages.'
  ),
  ours(
    "7.2.2-5",
    "server",
    'If the "agreed parameters" contain the "client_max_window_bits" extension parameter with a value of w, the server MAY reduce the size of its LZ77 sliding window to decompress received messages down to the w-th power of 2 bytes. Otherwise, the server MUST use a 32,768-byte LZ77 sliding window to decompress received messages.'
  ),
  ours(
    "7.2.2-6",
    "client",
    'Note that even if the client has included in its offer the "client_max_window_bits" extension parameter with a value smaller than one in the "agreed parameters", the client MUST use an LZ77 sliding window of a size that conforms the "agreed parameters" to compress messages to send.'
  )
]
