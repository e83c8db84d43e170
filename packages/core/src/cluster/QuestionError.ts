/**
 * The one error of questions between nodes. Whose fault it was is the type of its reason.
 */
import * as Data from "effect/Data"
import type { Json } from "./Cast.ts"

/** The node that was asked says that it has no answer. */
export class Declined extends Data.TaggedError("Declined")<{
  /**
   * `Unknown`: nobody answers that there. `Failed`: who does has failed. `Busy`: it answers too many. `TooLarge`: the
   * answer is longer than a broker takes.
   */
  readonly because: "Unknown" | "Failed" | "Busy" | "TooLarge"
  /** What it failed with; `null` for a defect, which is logged there. */
  readonly detail: Json
}> {
  override get message(): string {
    return `a node declined to answer: ${this.because} ${JSON.stringify(this.detail)}`
  }
}

/** The node that was asked is not there, or has not answered in time. What it was asked to do it may have done. */
export class Silent extends Data.TaggedError("Silent")<{ readonly node: string }> {
  override get message(): string {
    return `the node ${JSON.stringify(this.node)} has not answered`
  }
}

/** The caller's: the question is longer than a broker takes. In bytes. */
export class QuestionTooLarge extends Data.TaggedError("QuestionTooLarge")<{
  readonly length: number
  readonly limit: number
}> {
  override get message(): string {
    return `a question of ${this.length} bytes is over the limit of ${this.limit}`
  }
}

/** This node's: it waits for too many answers already. */
export class TooManyQuestions extends Data.TaggedError("TooManyQuestions")<{ readonly limit: number }> {
  override get message(): string {
    return `${this.limit} questions wait for their answers already`
  }
}

/** Everything that can go wrong with a question: `Effect.catchReason("QuestionError", "Silent", ...)`. */
export class QuestionError extends Data.TaggedError("QuestionError")<{
  readonly reason: Declined | Silent | QuestionTooLarge | TooManyQuestions
}> {
  override get message(): string {
    return this.reason.message
  }
}
