/**
 * A question to nodes, and what one of them answers, as they go between nodes. Pure.
 */
import * as Result from "effect/Result"
import { maxCastBytes } from "./Broker.ts"
import * as Cast from "./Cast.ts"
import { Declined } from "./QuestionError.ts"
import * as NodeMessage from "./NodeMessage.ts"

/** Which question it is: of which node, in which life of it, and the how manyth. */
export interface Asked {
  readonly asker: string
  readonly life: number
  readonly number: number
}

export interface Question extends Asked {
  readonly _tag: "Question"
  readonly name: string
  readonly payload: Cast.Json
  /** In milliseconds: for how long an answer is waited for. */
  readonly timeout: number
}

export interface Answer extends Asked {
  readonly _tag: "Answer"
  /** Who answers. */
  readonly node: string
  readonly answer: Result.Result<Cast.Json, Declined>
}

export const maxNameBytes = 128

const becauses: ReadonlySet<unknown> = new Set<Declined["because"]>(["Unknown", "Failed", "Busy", "TooLarge"])

export const encode = (message: Question | Answer): Uint8Array => {
  const { asker, life, number } = message
  if (message._tag === "Question") {
    return Cast.encode(["ask", asker, life, number, message.name, message.payload, message.timeout])
  }
  const { answer, node } = message
  return Cast.encode(
    Result.isSuccess(answer)
      ? ["answer", asker, life, number, node, null, answer.success]
      : ["answer", asker, life, number, node, answer.failure.because, answer.failure.detail]
  )
}

/** `undefined` for what is neither, or over a bound. */
export const decode = (bytes: Uint8Array): Question | Answer | undefined => {
  const value = Cast.decode(bytes, maxCastBytes)
  if (!Array.isArray(value) || value.length !== 7) return undefined
  const [kind, asker, life, number, name, fifth, sixth] = value as ReadonlyArray<Cast.Json>
  if (!Cast.isText(asker, NodeMessage.maxIdBytes) || !Cast.isCount(life) || !Cast.isCount(number)) return undefined
  if (kind === "ask") {
    if (!Cast.isText(name, maxNameBytes) || !Cast.isCount(sixth)) return undefined
    return { _tag: "Question", asker, life, number, name, payload: fifth!, timeout: sixth }
  }
  if (kind !== "answer" || !Cast.isText(name, NodeMessage.maxIdBytes)) return undefined
  if (fifth !== null && !becauses.has(fifth)) return undefined
  const answer =
    fifth === null
      ? Result.succeed(sixth!)
      : Result.fail(new Declined({ because: fifth as Declined["because"], detail: sixth! }))
  return { _tag: "Answer", asker, life, number, node: name, answer }
}
