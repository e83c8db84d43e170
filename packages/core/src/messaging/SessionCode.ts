/**
 * The close codes with which a session ends otherwise than a connection does: RFC 6455 section 7.4.2 leaves 4000 to 4999
 * to applications. From 4500 on they mean "do not come back as you are".
 */
export const SessionCode = {
  /** The peer broke the rules of docs/session-protocol.md. */
  violation: 4400,
  /** The first message did not come in time. */
  helloTimeout: 4408,
  /** The ends speak another contract, or another version of it. */
  mismatch: 4500,
  /** The credentials were refused. */
  rejected: 4501
} as const
