/** Section 6 of RFC 7692: frames of messages that are compressed, and of those that are not. */
import { ours } from "../../clauses.ts"

export const framing = [
  ours(
    "6.1-1",
    "both",
    'An endpoint MUST use the following algorithm to send a message in the form of a compressed message. Compress the message payload of the original message by following the compression procedure of the PMCE. … If this PMCE is the last extension to process outgoing messages, build frame(s) using the compressed data instead of the original data for the message payload, set the "Per-Message Compressed" bit of the first frame, and then send the frame(s) as described in Section 6.1 of [RFC6455]. Otherwise, pass the transformed message payload and modified header values, including the "Per-Message Compressed" bit value set to 1, to the next extension after the PMCE.'
  ),
  ours(
    "6.1-2",
    "both",
    'An endpoint MUST use the following algorithm to send a message in the form of an uncompressed message. … If this PMCE is the last extension to process outgoing messages, build frame(s) using the original data for the payload data portion as is, unset the "Per-Message Compressed" bit of the first frame, and then send the frame(s) as described in Section 6.1 of [RFC6455]. Otherwise, pass the message payload and header values to the next extension after the PMCE as is.'
  ),
  ours(
    "6.1-3",
    "both",
    'An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first fragments of a data message.'
  ),
  ours("6.1-4", "both", "An endpoint receiving such a frame MUST _Fail the WebSocket Connection_."),

  ours(
    "6.2-1",
    "both",
    'An endpoint MUST use the following algorithm to receive a message in the form of a compressed message. Concatenate the payload data portion of the received frames of the compressed message. … Decompress the concatenation by following the decompression procedure of the PMCE. … If this is the last extension to process incoming messages, deliver the _A WebSocket Message Has Been Received_ event to the application layer with the decompressed message payload and header values, including the "Per-Message Compressed" bit unset to 0. Otherwise, pass the decompressed message payload and header values, including the "Per-Message Compressed" bit unset to 0, to the extension preceding the PMCE.'
  ),
  ours(
    "6.2-2",
    "both",
    "An endpoint MUST use the following algorithm to receive a message in the form of an uncompressed message. … If this PMCE is the last extension to process incoming messages, deliver the _A WebSocket Message Has Been Received_ event to the application layer with the received message payload and header values as is. Otherwise, pass the message payload and header values to the extension preceding the PMCE as is."
  )
]
