/** Sections 6 to 8 of RFC 6455: messages, closing, and errors in text. */
import { ours } from "../../clauses.ts"

export const messages = [
  ours(
    "6.1-1",
    "both",
    "To _Send a WebSocket Message_ comprising of /data/ over a WebSocket connection, an endpoint MUST perform the following steps."
  ),
  ours(
    "6.1-2",
    "both",
    "The endpoint MUST ensure the WebSocket connection is in the OPEN state (cf. Sections 4.1 and 4.2.2.)"
  ),
  ours(
    "6.1-3",
    "both",
    "If at any point the state of the WebSocket connection changes, the endpoint MUST abort the following steps."
  ),
  ours("6.1-4", "both", "An endpoint MUST encapsulate the /data/ in a WebSocket frame as defined in Section 5.2."),
  ours(
    "6.1-5",
    "both",
    "The opcode (frame-opcode) of the first frame containing the data MUST be set to the appropriate value from Section 5.2 for data that is to be interpreted by the recipient as text or binary data."
  ),
  ours(
    "6.1-6",
    "both",
    "The FIN bit (frame-fin) of the last frame containing the data MUST be set to 1 as defined in Section 5.2."
  ),
  ours(
    "6.1-7",
    "client",
    "If the data is being sent by the client, the frame(s) MUST be masked as defined in Section 5.3."
  ),
  ours(
    "6.1-8",
    "both",
    "The frame(s) that have been formed MUST be transmitted over the underlying network connection."
  ),

  ours("6.2-1", "both", "Incoming data MUST be parsed as WebSocket frames as defined in Section 5.2."),
  ours(
    "6.2-2",
    "both",
    "If a control frame (Section 5.5) is received, the frame MUST be handled as defined by Section 5.5."
  ),
  ours(
    "6.2-3",
    "both",
    "Upon receiving a data frame (Section 5.6), the endpoint MUST note the /type/ of the data as defined by the opcode (frame-opcode) from Section 5.2."
  ),
  ours("6.2-4", "both", "Subsequent data frames MUST be interpreted as belonging to a new WebSocket message."),
  ours(
    "6.2-5",
    "server",
    "A server MUST remove masking for data frames received from a client as described in Section 5.3."
  ),

  ours(
    "7.1.2-1",
    "both",
    "To _Start the WebSocket Closing Handshake_ with a status code (Section 7.4) /code/ and an optional close reason (Section 7.1.6) /reason/, an endpoint MUST send a Close control frame, as described in Section 5.5.1, whose status code is set to /code/ and whose close reason is set to /reason/."
  ),
  ours(
    "7.1.7-1",
    "client",
    "Certain algorithms and specifications require an endpoint to _Fail the WebSocket Connection_. To do so, the client MUST _Close the WebSocket Connection_, and MAY report the problem to the user …."
  ),
  ours(
    "7.1.7-2",
    "server",
    "Similarly, to do so, the server MUST _Close the WebSocket Connection_, and SHOULD log the problem."
  ),
  ours(
    "7.1.7-3",
    "both",
    "If _The WebSocket Connection is Established_ prior to the point where the endpoint is required to _Fail the WebSocket Connection_, the endpoint SHOULD send a Close frame with an appropriate status code (Section 7.4) before proceeding to _Close the WebSocket Connection_."
  ),
  ours(
    "7.1.7-4",
    "both",
    "An endpoint MUST NOT continue to attempt to process data (including a responding Close frame) from the remote endpoint after being instructed to _Fail the WebSocket Connection_."
  ),

  ours(
    "7.2.1-1",
    "client",
    "Certain algorithms, in particular during the opening handshake, require the client to _Fail the WebSocket Connection_. To do so, the client MUST _Fail the WebSocket Connection_ as defined in Section 7.1.7."
  ),
  ours(
    "7.2.1-2",
    "client",
    "If at any point the underlying transport layer connection is unexpectedly lost, the client MUST _Fail the WebSocket Connection_."
  ),
  ours(
    "7.2.2-1",
    "server",
    "Certain algorithms require or recommend that the server _Abort the WebSocket Connection_ during the opening handshake. To do so, the server MUST simply _Close the WebSocket Connection_ (Section 7.1.1)."
  ),

  ours(
    "7.4.1-1",
    "both",
    "1005 is a reserved value and MUST NOT be set as a status code in a Close control frame by an endpoint."
  ),
  ours(
    "7.4.1-2",
    "both",
    "1006 is a reserved value and MUST NOT be set as a status code in a Close control frame by an endpoint."
  ),
  ours(
    "7.4.1-3",
    "both",
    "1015 is a reserved value and MUST NOT be set as a status code in a Close control frame by an endpoint."
  ),

  ours(
    "8.1-1",
    "both",
    "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_."
  )
]
