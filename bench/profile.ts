/** A CPU profile in a few lines: where our server was when it was working. */
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

const placeOf = ({ callFrame: { functionName, lineNumber, url } }: Node): string => {
  const file = url.startsWith("file:") ? fileURLToPath(url).replace(root, "") : url
  const name = functionName === "" ? "(anonymous)" : functionName
  return file === "" ? name : `${name} ${file}:${lineNumber + 1}`
}

/** The places with the most time of their own, as shares of all time that was not idle. */
export const hottest = (file: string, count: number): ReadonlyArray<string> => {
  const profile = JSON.parse(readFileSync(file, "utf8")) as Profile
  const places = new Map(profile.nodes.map((node) => [node.id, placeOf(node)]))
  const times = new Map<string, number>()
  let busy = 0
  for (const [index, id] of profile.samples.entries()) {
    const place = places.get(id) ?? ""
    if (place === "(idle)") continue
    const time = profile.timeDeltas[index] ?? 0
    busy += time
    times.set(place, (times.get(place) ?? 0) + time)
  }
  return [...times]
    .sort(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([place, time]) => `${((time / busy) * 100).toFixed(1).padStart(5)} %  ${place}`)
}
