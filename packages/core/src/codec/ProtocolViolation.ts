/**
 * What a peer did that the protocol forbids, as a value.
 */
import * as Data from "effect/Data"

/**
 * The peer broke a rule or went over a limit, so the connection must be failed (RFC 6455 section 7.1.7) with
 * `closeCode`:
 *
 * - 1002, a rule of the framing or of the closing handshake was broken;
 * - 1007, text that is not UTF-8;
 * - 1008, a limit on something other than size: the number of fragments;
 * - 1009, a message or frame that is too big.
 *
 * `clause` names the rule, such as `"RFC 6455 5.5"`, so that a line in a log leads straight to the sentence that was
 * broken. `detail` is for people and never for matching; it is sent to the peer as the reason of the Close frame, so
 * it is at most 123 bytes long and quotes nothing of what the peer sent.
 */
export class ProtocolViolation extends Data.TaggedError("ProtocolViolation")<{
  readonly closeCode: 1002 | 1007 | 1008 | 1009
  readonly clause: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.detail} (${this.clause})`
  }
}
