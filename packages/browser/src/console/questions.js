/** What the hub has yet to answer on this connection. */

/** @typedef {{ readonly type: "subscribe" | "publish", readonly topic: string, readonly isShy?: boolean }} Question */

/** @type {Map<number, Question>} */
const asked = new Map()
let last = 0

/**
 * The `id` to ask with.
 *
 * @param {Question} question
 */
export const ask = (question) => {
  asked.set(++last, question)
  return last
}

/**
 * What was asked with this `id`, if anything was. It is answered now.
 *
 * @param {string | number | undefined} id
 */
export const answered = (id) => {
  const question = asked.get(Number(id))
  asked.delete(Number(id))
  return question
}

/** The connection is another one: nobody answers what was asked on the last. */
export const forgetAll = () => asked.clear()
