/** Names of people and of topics, and what the hub's protocol says of them. */

/** @param {ReadonlyArray<string>} words */
const anyOf = (words) => words[Math.floor(Math.random() * words.length)] ?? ""

export const inventName = () =>
  `${anyOf(["amber", "early", "gentle", "mossy", "quiet", "silver", "swift", "upper"])}-` +
  anyOf(["dipper", "heron", "otter", "swallow", "trout", "vole", "willow", "wren"])

/**
 * What is wrong with a name, or nothing.
 *
 * @param {string} name
 */
export const faultOfName = (name) => {
  if (name.startsWith("@")) return "Names that begin with @ are the hub's own."
  if (/\p{Cc}|\p{Cs}/u.test(name)) return "A name has no control characters."
  return [...name].length > 64 ? "A name has at most 64 characters." : ""
}

/**
 * What is wrong with a topic, or nothing.
 *
 * @param {string} topic
 */
export const faultOfTopic = (topic) => {
  if (topic === "") return "A topic needs a name."
  if (topic.startsWith("$")) return "Topics that begin with $ are the hub's own."
  if (/\p{Cc}|\p{Cs}/u.test(topic)) return "A topic has no control characters."
  return new TextEncoder().encode(topic).length > 256 ? "A topic has at most 256 bytes." : ""
}
