/** Processes that listen on one port and are started again, in both ways in which that is done. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { eventually } from "../../support/eventually.ts"
import { answering, isAlive } from "../../support/workerProcesses.ts"

/** Who answers each of so many requests, of a connection each. */
const answers = (port: number, count: number) =>
  Effect.forEach(Array.from({ length: count }), () =>
    Effect.promise(async () => (await fetch(`http://127.0.0.1:${port}/`)).text())
  )

const tally = (answers: ReadonlyArray<string>) => {
  const ones = answers.filter((number) => number === "1").length
  const twos = answers.filter((number) => number === "2").length
  return { ones, twos, all: ones + twos }
}

describe.each([
  ["each on the port by itself", true],
  ["by one that hands connections on", false]
])("two workers, %s", (_, reusePort) => {
  it.live("have about as many connections each", () =>
    Effect.gen(function* () {
      const { pids, port } = yield* answering(reusePort)
      expect(pids()).toHaveLength(2)
      const { all, ones, twos } = tally(yield* answers(port, 60))
      expect(all).toBe(60)
      expect(Math.min(ones, twos)).toBeGreaterThanOrEqual(10)
    }).pipe(Effect.scoped)
  )

  it.live("are two again when one was killed, with its number", () =>
    Effect.gen(function* () {
      const { command, pids, port } = yield* answering(reusePort)
      const [first = 0] = pids()
      process.kill(first, "SIGKILL")
      const [, number] = yield* command.reports(/worker ([12]) has died \(SIGKILL\); another is started in 0\.1 s\n/)
      yield* eventually(() => pids().length === 2 && !isAlive(first))
      let again: ReadonlyArray<string> = []
      while (!again.includes(number!)) again = yield* answers(port, 20)
    }).pipe(Effect.scoped)
  )

  it.live("wait longer each time that one dies at once", () =>
    Effect.gen(function* () {
      const { command, pids } = yield* answering(reusePort)
      const [first = 0, second = 0] = pids()
      process.kill(first, "SIGKILL")
      yield* command.reports(/started in 0\.1 s\n/)
      yield* eventually(() => pids().length === 2)
      process.kill(
        pids().find((pid) => pid !== second)!,
        "SIGKILL"
      )
      yield* command.reports(/started in 0\.2 s\n/)
    }).pipe(Effect.scoped)
  )

  it.live("end with the first process, when it ends in good order", () =>
    Effect.gen(function* () {
      const { command, pids } = yield* answering(reusePort)
      const all = pids()
      command.signal("SIGINT")
      expect((yield* command.end).code).toBe(0)
      expect(all.filter(isAlive)).toEqual([])
    }).pipe(Effect.scoped)
  )
})

describe("two workers, each on the port by itself", () => {
  it.live("go on when the first process is killed", () =>
    Effect.gen(function* () {
      const { command, pids, port } = yield* answering(true)
      const all = pids()
      command.signal("SIGKILL")
      yield* eventually(() => !isAlive(command.process.pid!))
      expect(tally(yield* answers(port, 40)).all).toBe(40)
      expect(all.filter(isAlive)).toEqual(all)
    }).pipe(Effect.scoped)
  )
})

describe("two workers, by one that hands connections on", () => {
  it.live("do not hear Ctrl-C themselves, which a terminal sends to all", () =>
    Effect.gen(function* () {
      const { pids, port } = yield* answering(false)
      const all = pids()
      for (const pid of all) process.kill(pid, "SIGINT")
      for (const pid of all) process.kill(pid, "SIGINT")
      expect(tally(yield* answers(port, 20)).all).toBe(20)
      expect(all.filter(isAlive)).toEqual(all)
    }).pipe(Effect.scoped)
  )
})
