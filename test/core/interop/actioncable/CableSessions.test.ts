/** Which sessions can be come back to, by whom, and until when. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as CableSessions from "@millrace/core/interop/actioncable/CableSessions"

const minute = 60_000

const query = (text: string) => new URLSearchParams(text)

const none = () => undefined

const never = () => {
  throw new Error("nobody is to leave")
}

/** Of one session that has left. */
const away = (
  identifiers: ReadonlyArray<string>,
  options?: CableSessions.Options,
  sessions = new CableSessions.CableSessions(minute, options)
) => {
  sessions.connect("s", "ada", never)
  sessions.depart("s", identifiers, 0)
  return sessions
}

describe("a session", () => {
  it("is come back to once, by its user, within its time", () => {
    const sessions = away(["a", "b"])
    expect(sessions.take("s", "bob", 1)).toBeUndefined()
    expect(sessions.take("s", undefined, 1)).toBeUndefined()
    expect(sessions.take("t", "ada", 1)).toBeUndefined()
    expect(sessions.take("s", "ada", minute - 1)).toEqual(["a", "b"])
    expect(sessions.take("s", "ada", minute - 1)).toBeUndefined()
    expect(away(["a"]).take("s", "ada", minute)).toBeUndefined()
  })

  it("is taken over where its connection has not ended yet, and is not kept when it does", () => {
    const sessions = new CableSessions.CableSessions(minute)
    let left = 0
    sessions.connect("s", undefined, () => {
      left++
      return ["a"]
    })
    expect([sessions.take("s", "ada", 0), left]).toEqual([undefined, 0])
    expect([sessions.take("s", undefined, 0), left]).toEqual([["a"], 1])
    sessions.depart("s", ["a"], 1)
    expect([sessions.take("s", undefined, 1), sessions.size, sessions.connections]).toEqual([undefined, 0, 0])
  })

  it("is not kept where it has nothing, or more than its share", () => {
    expect(away([]).size).toBe(0)
    const half = "x".repeat(32)
    expect(away([half, half], { maxLength: 4_096 }).size).toBe(1)
    expect(away([half, half, "x"], { maxLength: 4_096 }).size).toBe(0)
  })

  it("of a user who was put out is over, and those of others are not", () => {
    const sessions = away(["a"])
    sessions.connect("t", "bob", never)
    sessions.depart("t", ["b"], 0)
    sessions.dismiss("ada")
    expect([sessions.take("s", "ada", 1), sessions.take("t", "bob", 1)]).toEqual([undefined, ["b"]])
  })

  it("is forgotten when its time is over, though nobody asks for it", () => {
    const sessions = away(["a"])
    sessions.expire(minute - 1)
    expect(sessions.size).toBe(1)
    sessions.expire(minute)
    expect(sessions.size).toBe(0)
  })
})

describe("sessions", () => {
  type Event =
    | { readonly does: "connect"; readonly sid: number; readonly user: number }
    | { readonly does: "depart"; readonly sid: number; readonly lengths: ReadonlyArray<number> }
    | { readonly does: "take"; readonly sid: number; readonly user: number }
    | { readonly does: "dismiss"; readonly user: number }
    | { readonly does: "wait"; readonly time: number }

  const sid = fc.nat(9)
  const user = fc.nat(1)
  const event: fc.Arbitrary<Event> = fc.oneof(
    { weight: 6, arbitrary: fc.record({ does: fc.constant("connect" as const), sid, user }) },
    {
      weight: 6,
      arbitrary: fc.record({
        does: fc.constant("depart" as const),
        sid,
        lengths: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 })
      })
    },
    fc.record({ does: fc.constant("take" as const), sid, user }),
    fc.record({ does: fc.constant("wait" as const), time: fc.integer({ min: 1, max: 30 }) }),
    { weight: 1, arbitrary: fc.record({ does: fc.constant("dismiss" as const), user }) }
  )

  interface Known {
    readonly sid: string
    readonly user: string
    readonly identifiers: ReadonlyArray<string>
    readonly until: number
  }

  // A share of it is 16.
  const bounds = { maxSessions: 3, maxLength: 1_024 }
  const total = (known: ReadonlyArray<Known>) => known.flatMap((one) => one.identifiers).join("").length

  const held = (options: typeof bounds, share: number) =>
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const sessions = new CableSessions.CableSessions(50, options)
      const connected = new Map<string, string>()
      let away: Array<Known> = []
      let now = 0
      const bounded = () => {
        away = away.filter(({ until }) => until > now)
        while (away.length > options.maxSessions || total(away) > options.maxLength) away.shift()
      }
      events.forEach((event, index) => {
        switch (event.does) {
          case "connect": {
            // A name is given once.
            const name = `${event.sid}`
            if (connected.has(name) || away.some((one) => one.sid === name)) return
            connected.set(name, `${event.user}`)
            sessions.connect(name, `${event.user}`, () => [`live ${index}`])
            return
          }
          case "depart": {
            const name = `${event.sid}`
            const identifiers = event.lengths.map((length) => "x".repeat(length))
            const length = identifiers.join("").length
            sessions.depart(name, identifiers, now)
            const owner = connected.get(name)
            connected.delete(name)
            if (owner === undefined || length === 0 || length > share) return
            away.push({ sid: name, user: owner, identifiers, until: now + 50 })
            bounded()
            break
          }
          case "take": {
            bounded()
            const [name, by] = [`${event.sid}`, `${event.user}`]
            const taken = sessions.take(name, by, now)
            const kept = away.find((one) => one.sid === name && one.user === by)
            if (connected.get(name) === by) {
              expect(taken).toEqual([expect.stringMatching(/^live/)])
              connected.delete(name)
            } else expect(taken).toEqual(kept?.identifiers)
            away = away.filter((one) => one !== kept)
            break
          }
          case "dismiss":
            sessions.dismiss(`${event.user}`)
            away = away.filter((one) => one.user !== `${event.user}`)
            break
          case "wait":
            now += event.time
            sessions.expire(now)
            bounded()
        }
        expect([sessions.size, sessions.connections]).toEqual([away.length, connected.size])
        expect(sessions.size).toBeLessThanOrEqual(options.maxSessions)
      })
    })

  it("are what a model says, whoever comes and goes, and at most so many", () => {
    fc.assert(held(bounds, 16), { numRuns: 500 })
  })

  it("are at most so many, those that left first being forgotten", () => {
    const sessions = new CableSessions.CableSessions(minute, { maxSessions: 2 })
    for (const sid of ["a", "b", "c"]) {
      sessions.connect(sid, undefined, never)
      sessions.depart(sid, [sid], 0)
    }
    expect(["a", "b", "c"].map((sid) => sessions.take(sid, undefined, 0))).toEqual([undefined, ["b"], ["c"]])
  })

  it("have at most so much in all, those that left first being forgotten", () => {
    const sessions = new CableSessions.CableSessions(minute, { maxLength: 640 })
    for (let n = 0; n < 100; n++) {
      sessions.connect(`${n}`, undefined, never)
      sessions.depart(`${n}`, ["x".repeat(10)], n)
    }
    expect(sessions.size).toBe(64)
    expect(sessions.take("35", undefined, 100)).toBeUndefined()
    expect(sessions.take("36", undefined, 100)).toEqual(["x".repeat(10)])
    // What was come back to counts no more.
    sessions.connect("new", undefined, never)
    sessions.depart("new", ["x".repeat(10)], 100)
    expect([sessions.size, sessions.take("37", undefined, 100)]).toEqual([64, ["x".repeat(10)]])
  })
})

describe("the name of a session", () => {
  it("is in the query, or in a field, which goes first", () => {
    expect(CableSessions.sidOf(query("sid=a"), none)).toBe("a")
    expect(CableSessions.sidOf(query("sid=a"), (name) => (name === "x-anycable-restore-sid" ? "b" : undefined))).toBe(
      "b"
    )
  })

  it("is none where it is empty, as a client says that was disconnected, and where it is too long for one", () => {
    expect(CableSessions.sidOf(query(""), none)).toBeUndefined()
    expect(CableSessions.sidOf(query("sid="), none)).toBeUndefined()
    expect(CableSessions.sidOf(query(`sid=${"x".repeat(64)}`), none)).toBe("x".repeat(64))
    expect(CableSessions.sidOf(query(`sid=${"x".repeat(65)}`), none)).toBeUndefined()
  })
})
