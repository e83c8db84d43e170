/**
 * Somewhere between two publications. One position says where a reader is in any number of topics, as one offset counts
 * the publications of all of them. It holds for one epoch, which is one life of what keeps them: an offset of another
 * epoch says nothing.
 */

/** Behind the publication with this offset. */
export interface Position {
  /** Some text without line ends, never used twice. */
  readonly epoch: string
  /** 0 is before the first. At most 2^53 - 1. */
  readonly offset: number
}

/** As clients are told it, and tell it again. */
export const print = ({ epoch, offset }: Position): string => `${epoch}:${offset}`

/** `undefined` for what `print` has not made. Clients can say anything. */
export const parse = (text: string): Position | undefined => {
  const colon = text.lastIndexOf(":")
  const digits = text.slice(colon + 1)
  if (colon === -1 || !/^(0|[1-9]\d{0,15})$/.test(digits)) return undefined
  const offset = Number(digits)
  return Number.isSafeInteger(offset) ? { epoch: text.slice(0, colon), offset } : undefined
}

/** Whether one comes after the other, as far as anybody can tell: those of two epochs cannot be compared. */
export const isBehind = (one: Position, other: Position): boolean =>
  one.epoch !== other.epoch || one.offset > other.offset
