/** A CPU profile in a few lines: where a server was when it was working. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

interface Node {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
}

interface Profile {
  readonly nodes: ReadonlyArray<Node>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}

const root = fileURLToPath(new URL("../", import.meta.url))

const fileOf = ({ url }: Node["callFrame"]): string =>
  url.startsWith("file:") ? fileURLToPath(url).replace(root, "") : url

const placeOf = (frame: Node["callFrame"]): string => {
  const file = fileOf(frame)
  const name = frame.functionName === "" ? "(anonymous)" : frame.functionName
  return file === "" ? name : `${name} ${file}:${frame.lineNumber + 1}`
}

/** Whose code it is: a package's, Node's own, or what has no source (system calls, the collector). */
const ownerOf = (frame: Node["callFrame"]): string => {
  const file = fileOf(frame)
  if (file === "") return frame.functionName.startsWith("(") ? frame.functionName : "native"
  if (file.startsWith("node:")) return "node"
  return /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? file.split("/").slice(0, 2).join("/")
}

/** Not the server's: being asked, and being profiled. */
const isOurs = (frame: Node["callFrame"]): boolean =>
  frame.functionName === "(idle)" || frame.url === "node:inspector" || frame.url.endsWith("/bench/answers.ts")

const lines = (times: ReadonlyMap<string, number>, busy: number, count: number): ReadonlyArray<string> =>
  [...times]
    .sort(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([what, time]) => `${((time / busy) * 100).toFixed(1).padStart(7)} %  ${what}`)

/** Owners and places with the most time of their own, as shares of all time in which the server worked. */
export const hottest = (file: string, count: number): string => {
  const profile = JSON.parse(readFileSync(file, "utf8")) as Profile
  const frames = new Map(profile.nodes.map(({ callFrame, id }) => [id, callFrame]))
  const owners = new Map<string, number>()
  const places = new Map<string, number>()
  let busy = 0
  for (const [index, id] of profile.samples.entries()) {
    const frame = frames.get(id)
    if (frame === undefined || isOurs(frame)) continue
    // A sample says where the time until the next one goes.
    const time = profile.timeDeltas[index + 1] ?? 0
    busy += time
    for (const [times, what] of [[owners, ownerOf(frame)] as const, [places, placeOf(frame)] as const]) {
      times.set(what, (times.get(what) ?? 0) + time)
    }
  }
  return [...lines(owners, busy, 8), "", ...lines(places, busy, count)].join("\n")
}
