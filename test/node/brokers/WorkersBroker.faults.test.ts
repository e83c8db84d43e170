/** Processes that share a log, and are killed. */
import { readdirSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import type { Position } from "@millrace/core/cluster/Position"
import * as Effect from "effect/Effect"
import { eventually } from "../../support/eventually.ts"
import { folder } from "../../support/folder.ts"
import { type Reign, type Worker, worker } from "../../support/workers.ts"

/** For how many milliseconds two of them were the host at once. */
const overlaps = (reigns: ReadonlyArray<Reign>, now: number): ReadonlyArray<number> =>
  reigns.flatMap((one, i) =>
    reigns
      .slice(i + 1)
      .map((other) => Math.min(one.to ?? now, other.to ?? now) - Math.max(one.from, other.from))
      .filter((length) => length > 0)
  )

const quantile = (values: ReadonlyArray<number>, part: number): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length * part)]!

/** Whether a position lies behind `from` and not behind `to`, where epochs have an order. */
const isBetween = (
  epochs: ReadonlyArray<string>,
  { epoch, offset }: Position,
  from: Position | undefined,
  to: Position
): boolean => {
  const place = (one: Position) => epochs.indexOf(one.epoch) * 2 ** 40 + one.offset
  const at = place({ epoch, offset })
  return (from === undefined || at > place(from)) && at <= place(to)
}

describe("eight processes whose host is killed again and again", () => {
  it.live(
    "have one within a second, never two for long, and every message is told once or lies in a gap that is told",
    () =>
      Effect.gen(function* () {
        const directory = yield* folder
        let count = 0
        let living: Array<Worker> = []
        const all: Array<Worker> = []
        const join = Effect.gen(function* () {
          // Three who see all of it, as they are never the host.
          const one = yield* worker(`w${count}`, directory, count++ >= 3)
          living.push(one)
          all.push(one)
        })
        yield* Effect.replicateEffect(join, 8)
        yield* eventually(() => living.every(({ isReady }) => isReady), 30_000)
        const waits: Array<number> = []
        for (let kills = 0; kills < 20; kills++) {
          yield* eventually(() => living.filter(({ isHost }) => isHost).length === 1)
          // Somewhere in between what it does.
          yield* Effect.sleep(Math.random() * 100)
          const host = living.find(({ isHost }) => isHost)
          if (host === undefined) continue
          const killed = Date.now()
          host.kill()
          living = living.filter((one) => one !== host)
          yield* eventually(() => living.some(({ reigns }) => reigns.some(({ from }) => from >= killed)))
          const found = living.flatMap(({ reigns }) => reigns).filter(({ from }) => from >= killed)
          waits.push(Math.min(...found.map(({ from }) => from)) - killed)
          // As many as before; but not before the next is killed, perhaps.
          yield* join
          if (Math.random() < 0.5) yield* eventually(() => living.every(({ isReady }) => isReady), 30_000)
        }
        yield* eventually(() => living.every(({ isReady }) => isReady), 30_000)
        yield* Effect.forEach(living, ({ stop }) => stop)
        yield* Effect.sleep(500)
        const reports = yield* Effect.forEach(living, ({ tell }) => tell)

        // Of each kill, in milliseconds; where the machine is busy, not longer than a process takes to begin.
        const soon = Math.max(
          1_000,
          2 *
            quantile(
              all.flatMap(({ began }) => began ?? []),
              0.5
            )
        )
        expect(quantile(waits, 0.9)).toBeLessThan(soon)
        const now = Date.now()
        const reigns = all.flatMap((one) => one.reigns)
        for (const length of overlaps(reigns, now)) expect(length).toBeLessThan(soon)
        expect(living.filter(({ isHost }) => isHost)).toHaveLength(1)
        expect(readdirSync(directory)).toHaveLength(1)

        const epochs = reigns.toSorted((one, other) => one.generation - other.generation).map(({ epoch }) => epoch)
        expect(epochs).toHaveLength(21)
        let told = 0
        for (const { delivered, gaps, subscribed } of reports) {
          expect(new Set(delivered.map(([id]) => id)).size).toBe(delivered.length)
          const ids = new Set(delivered.map(([id]) => id))
          const missing = reports
            .flatMap(({ acknowledged }) => acknowledged)
            .filter(
              ([id, position]) =>
                !ids.has(id) && (subscribed === undefined || !isBetween(epochs, position, undefined, subscribed))
            )
            .filter(([, position]) => !gaps.some(([from, to]) => isBetween(epochs, position, from, to)))
          expect(missing).toEqual([])
          told += delivered.length
        }
        expect(told).toBeGreaterThan(1_000)
      }).pipe(Effect.scoped),
    240_000
  )
})
