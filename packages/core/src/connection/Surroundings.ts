/**
 * What goes on around a client, as far as it matters to one that comes back: the network returns, the machine wakes, the
 * page is put away.
 *
 * Whoever knows it says it, as a stream of plain words that can be merged with others: `PageLife.surroundings` of a page,
 * the signals of a process, a button. Not in here: what is done about it, which is `Comeback`.
 */

/** What has happened, said by what is to be done about it. Each may be said at any time, and again. */
export type Happening =
  /**
   * There may be a network again: the next attempt is made at once, if one is being waited for. A server that has asked
   * for time, by `Retry-After`, gets it all the same.
   */
  | "Retry"
  /**
   * Nobody knows what has become of the connection: one that is open has to show within a bound, 5 s by default, that
   * its peer is there, or is given up. If there is none, the same as `Retry`.
   */
  | "Check"
  /** The connection is closed in order, an attempt that is under way is given up, and none is made until `Return`. */
  | "Leave"
  /** The end of `Leave`: a connection is opened at once. Without one, the same as `Check`. */
  | "Return"
