/**
 * Who a message is for, as a value: sets of members, put together by union and difference. Each node finds its own
 * members in it. Pure.
 */

export type Target =
  /** The members of a topic. */
  | { readonly _tag: "Topic"; readonly topic: string }
  /** One member, by its id. */
  | { readonly _tag: "Member"; readonly id: string }
  /** All members of one user. */
  | { readonly _tag: "User"; readonly user: string }
  /** Everybody who is in at least one of them, once. */
  | { readonly _tag: "Union"; readonly targets: ReadonlyArray<Target> }
  /** Everybody of the one who is not in the other. */
  | { readonly _tag: "Except"; readonly target: Target; readonly not: Target }

export const topic = (name: string): Target => ({ _tag: "Topic", topic: name })
export const member = (id: string): Target => ({ _tag: "Member", id })
export const user = (name: string): Target => ({ _tag: "User", user: name })
export const union = (...targets: ReadonlyArray<Target>): Target => ({ _tag: "Union", targets })
export const topics = (...names: ReadonlyArray<string>): Target => union(...names.map(topic))
export const except = (target: Target, not: Target): Target => ({ _tag: "Except", target, not })

/** Who is where, on one node. */
export interface Places<out M> {
  readonly ofTopic: (topic: string) => Iterable<M>
  readonly ofMember: (id: string) => Iterable<M>
  readonly ofUser: (user: string) => Iterable<M>
}

/** The members of a target on one node, each once. */
export const select = <M>(target: Target, places: Places<M>): Set<M> => {
  switch (target._tag) {
    case "Topic":
      return new Set(places.ofTopic(target.topic))
    case "Member":
      return new Set(places.ofMember(target.id))
    case "User":
      return new Set(places.ofUser(target.user))
    case "Union": {
      const all = new Set<M>()
      for (const part of target.targets) for (const one of select(part, places)) all.add(one)
      return all
    }
    case "Except": {
      const all = select(target.target, places)
      for (const one of select(target.not, places)) all.delete(one)
      return all
    }
  }
}

/** Whether a member is in a target. `isIn` says in which topics it is. */
export const includes = (
  target: Target,
  member: { readonly id?: string | undefined; readonly user?: string | undefined },
  isIn: (topic: string) => boolean
): boolean => {
  switch (target._tag) {
    case "Topic":
      return isIn(target.topic)
    case "Member":
      return member.id === target.id
    case "User":
      return member.user === target.user
    case "Union":
      return target.targets.some((part) => includes(part, member, isIn))
    case "Except":
      return includes(target.target, member, isIn) && !includes(target.not, member, isIn)
  }
}

/** As text, for other nodes. */
export const print = (target: Target): string => JSON.stringify(target)

/** How deep targets may be nested, and how many parts one may have: more than fit into what nodes say to each other. */
export const maxDepth = 16
export const maxParts = 16_384

/** Whether other nodes read it. */
export const isTooDeep = (target: Target, depth = 1): boolean => {
  if (depth > maxDepth) return true
  if (target._tag === "Union") return target.targets.some((part) => isTooDeep(part, depth + 1))
  return target._tag === "Except" && (isTooDeep(target.target, depth + 1) || isTooDeep(target.not, depth + 1))
}

/** What `print` printed; `undefined` for anything else, and for one that is nested too deep or has too many parts. */
export const parse = (text: string): Target | undefined => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  let parts = 0
  const isTarget = (part: unknown, depth: number): part is Target => {
    if (typeof part !== "object" || part === null || depth > maxDepth || ++parts > maxParts) return false
    const fields = part as Readonly<Record<string, unknown>>
    switch (fields["_tag"]) {
      case "Topic":
        return typeof fields["topic"] === "string"
      case "Member":
        return typeof fields["id"] === "string"
      case "User":
        return typeof fields["user"] === "string"
      case "Union":
        return Array.isArray(fields["targets"]) && fields["targets"].every((each) => isTarget(each, depth + 1))
      case "Except":
        return isTarget(fields["target"], depth + 1) && isTarget(fields["not"], depth + 1)
      default:
        return false
    }
  }
  return isTarget(value, 1) ? value : undefined
}
