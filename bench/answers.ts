/**
 * The child's side of the channel between the benchmark and the processes that it starts: named questions come in,
 * each is answered with a value or with why there is none. The parent's side is `Child.ts`.
 */

export interface Question {
  readonly id: number
  readonly name: string
  readonly argument: unknown
}

export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly failure: string }

// Each handler knows the type of its own argument: both ends are this folder, so nothing is checked on the way.
export type Handlers = Readonly<Record<string, (argument: never) => unknown>>

const send = (message: Answer) => process.send?.(message)

/**
 * Answers the parent's questions from now on. The channel alone does not keep the process alive, and the process ends
 * with the channel, so that a benchmark that was killed leaves nobody behind.
 */
export const answer = (handlers: Handlers): void => {
  process.on("message", (question: Question) => {
    const handler = handlers[question.name] as ((argument: unknown) => unknown) | undefined
    if (handler === undefined) {
      send({ id: question.id, failure: `nobody here answers "${question.name}"` })
      return
    }
    const { id } = question
    Promise.resolve(question.argument)
      .then(handler)
      .then(
        (value) => send({ id, value }),
        (error: unknown) => send({ id, failure: error instanceof Error ? error.message : String(error) })
      )
  })
  process.on("disconnect", () => process.exit())
  process.channel?.unref()
}
