/** The numbers of the page about presence are those of the code. */
import { readFileSync } from "node:fs"
import * as Duration from "effect/Duration"
import { describe, expect, it } from "vitest"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Presence from "@millrace/core/cluster/Presence"
import * as PresenceMessage from "@millrace/core/cluster/PresenceMessage"
import * as Questions from "@millrace/core/cluster/Questions"
import { root, rows } from "../support/markdown.ts"

const text = readFileSync(`${root}docs/guides/presence.md`, "utf8").replaceAll(/\s+/g, " ")
const table = rows(readFileSync(`${root}docs/guides/presence.md`, "utf8"), "What it may take", "###")

const shown = (value: Duration.Input) => {
  if (typeof value === "number") return value.toLocaleString("en")
  const millis = Duration.toMillis(value)
  return millis < 1_000 ? `${millis} ms` : `${millis / 1_000} s`
}

const sorted = (pairs: ReadonlyArray<ReadonlyArray<string | undefined>>) =>
  pairs.map((pair) => pair.join(" ")).toSorted()

describe("docs/guides/presence.md", () => {
  it("has every option of presence, with its default", () => {
    expect(sorted(table.map(([option, standard]) => [option, standard]))).toEqual(
      sorted(Object.entries(Presence.defaults).map(([option, value]) => [`\`${option}\``, shown(value)]))
    )
  })

  it("has the other numbers, too", () => {
    for (const said of [
      `At most ${shown(PresenceMessage.maxInfoBytes)}`,
      `1 to ${PresenceMessage.maxTopicBytes} bytes, a member's name ${PresenceMessage.maxMemberBytes}, a user's ${PresenceMessage.maxUserBytes}`,
      `every ${shown(Nodes.defaults.interval)} that it is there`,
      `\`maxNodes\`, ${shown(Nodes.defaults.maxNodes)}`,
      `what came in time, ${shown(Questions.defaultTimeout)} unless`,
      `more than ${Questions.defaults.maxAnswered} questions`
    ]) {
      expect(text).toContain(said)
    }
  })
})
