/**
 * The end of a command that did not do what it was asked: one sentence for the person who asked, and an exit code.
 */
import * as Data from "effect/Data"

export class Failure extends Data.TaggedError("Failure")<{
  /** What went wrong and, where that is known, what to do. Without a name in front, without a full stop at the end. */
  readonly sentence: string
  /** Default 1. */
  readonly exitCode?: number | undefined
}> {
  override get message(): string {
    return this.sentence
  }
}
