/** Section 5 of RFC 7692: what both ends agree on in the opening handshake, for any compression. */
import { notOurs, ours } from "../../clauses.ts"

const author = "for authors of extensions: Millrace defines none"

export const negotiation = [
  ours(
    "5-1",
    "client",
    'To offer use of a PMCE, a client MUST include the extension name of the PMCE in the "Sec-WebSocket-Extensions" header field of its opening handshake of the WebSocket connection.'
  ),
  ours(
    "5-2",
    "server",
    "A request in a PMCE negotiation offer indicates constraints on the server's behavior that must be satisfied if the server accepts the offer."
  ),
  ours(
    "5-3",
    "server",
    "The server must keep the original bytes of data that it recently compressed and sent to the client."
  ),
  ours(
    "5-4",
    "client",
    "The client must keep the result of decompressing the bytes of data that it recently received from the server."
  ),
  ours("5-5", "client", "The LZ77 window size of the client must not be less than the LZ77 window size of the server."),
  ours(
    "5-6",
    "client",
    "In a PMCE negotiation offer, the client MUST inform the server of its LZ77 window size so that the server uses an LZ77 window size that is not greater than the LZ77 window size of the client."
  ),
  ours(
    "5-7",
    "client",
    "The client must keep the original bytes of data that it recently compressed and sent to the server."
  ),
  ours(
    "5-8",
    "server",
    "The server must keep the result of decompressing the bytes of data that it recently received from the client."
  ),
  ours("5-9", "server", "The LZ77 window size of the server must not be less than the LZ77 window size of the client."),
  ours(
    "5-10",
    "server",
    'Since the hint itself doesn\'t specify the constraints on the endpoints, the server must use the "agreed parameters" (defined below) to explicitly ask the client not to use an LZ77 window size greater than the LZ77 window size of the server.'
  ),
  ours(
    "5-11",
    "server",
    'To accept the use of an offered PMCE, a server MUST include the extension name of the PMCE in the "Sec-WebSocket-Extensions" header field of its opening handshake of the WebSocket connection.'
  ),
  ours("5-12", "server", "The element MUST represent a PMCE that is fully supported by the server."),
  ours(
    "5-13",
    "server",
    "\"Agreed parameters\" must represent how the requests and hints in the client's extension negotiation offer have been handled in addition to the server's requests and hints on the client's behavior, so that the client can configure its behavior without identifying exactly which PMCE extension negotiation offer has been accepted."
  ),
  notOurs(
    "5-14",
    "both",
    "For such features, the acknowledging parameter and the parameter in the reverse direction must be chosen to distinguish them.",
    author
  ),
  ours(
    "5-15",
    "server",
    "A server MUST NOT accept a PMCE extension negotiation offer together with another extension if the PMCE will conflict with the extension on their use of the RSV1 bit."
  ),
  ours(
    "5-16",
    "client",
    "A client that received a response accepting a PMCE extension negotiation offer together with such an extension MUST _Fail the WebSocket Connection_."
  ),
  ours(
    "5-17",
    "server",
    'A server MUST NOT accept a PMCE extension negotiation offer together with another extension if the PMCE will be applied to the output of the extension and any of the following conditions applies to the extension: The extension requires the boundary of frames to be preserved between the output from the extension at the sender and the input to the extension at the receiver. The extension uses the "Extension data" field or any of the reserved bits on the WebSocket header as a per-frame attribute.'
  ),
  ours(
    "5-18",
    "client",
    "A client that receives a response accepting a PMCE extension negotiation offer together with such an extension MUST _Fail the WebSocket Connection_."
  ),
  ours("5-19", "server", "A server declining all offered PMCEs MUST NOT include any element with PMCE names."),
  ours(
    "5-20",
    "client",
    "If a server gives an invalid response, such as accepting a PMCE that the client did not offer, the client MUST _Fail the WebSocket Connection_."
  ),
  ours(
    "5-21",
    "both",
    'If a server responds with a valid PMCE element in the "Sec-WebSocket-Extensions" header and _the WebSocket Connection is established_, both endpoints MUST use the algorithm described in Section 6 and the message payload transformation (compressing and decompressing) procedure of the PMCE configured with the "agreed parameters" returned by the server to exchange messages.'
  ),

  notOurs(
    "5.1-1",
    "both",
    "How to handle parameters in detail must be specified in the document specifying the PMCE.",
    author
  )
]
