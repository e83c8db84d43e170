import { ReplyError } from "ioredis"
import { describe, expect, it } from "vitest"
import * as Refusal from "@millrace/node/brokers/redis/Refusal"

const reply = (message: string): Error => new ReplyError(message)

const said = (error: unknown, sent: boolean): string => {
  const { reason } = Refusal.brokerError(error, sent)
  return reason._tag === "Unavailable" ? `${reason._tag} ${reason.outcome}` : reason._tag
}

/** What Redis says, whose fault it is, and whether another connection is needed. */
const table: ReadonlyArray<readonly [message: string, said: string, isElsewhere: boolean]> = [
  // The operator's: it will be the same the next time.
  ["NOAUTH Authentication required.", "Rejected", false],
  ["NOAUTH HELLO must be called with the client already authenticated, otherwise ...", "Rejected", false],
  ["WRONGPASS invalid username-password pair or user is disabled.", "Rejected", false],
  ["NOPERM this user has no permissions to run the 'evalsha' command", "Rejected", false],
  [
    "ERR The user executing the script can't run this command or subcommand script: a, on @user_script:1.",
    "Rejected",
    false
  ],
  ["OOM command not allowed when used memory > 'maxmemory'.", "Rejected", false],
  ["MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist", "Rejected", false],
  ["DENIED Redis is running in protected mode because", "Rejected", false],
  ["WRONGTYPE Operation against a key holding the wrong kind of value", "Rejected", false],
  ["ERR unknown command 'EVALSHA', with args beginning with: ", "Rejected", false],
  ["ERR DB index is out of range", "Rejected", false],
  ["NOPROTO unsupported protocol version", "Rejected", false],
  ["something that no Redis says", "Rejected", false],
  // Nobody's for long: it was not done, and may be done a moment later.
  ["LOADING Redis is loading the dataset in memory", "Unavailable NotPublished", false],
  [
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "Unavailable NotPublished",
    false
  ],
  ["CLUSTERDOWN The cluster is down", "Unavailable NotPublished", false],
  [
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "Unavailable NotPublished",
    false
  ],
  ["NOREPLICAS Not enough good replicas to write.", "Unavailable NotPublished", false],
  ["TRYAGAIN Multiple keys request during rehashing of slot", "Unavailable NotPublished", false],
  ["ERR max number of clients reached", "Unavailable NotPublished", false],
  // Here, it never will be.
  ["READONLY You can't write against a read only replica.", "Unavailable NotPublished", true],
  ["MOVED 3999 127.0.0.1:6381", "Unavailable NotPublished", true],
  ["ASK 3999 127.0.0.1:6381", "Unavailable NotPublished", true],
  // Redis 6.2 says so from within a script.
  [
    "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica. ",
    "Unavailable NotPublished",
    true
  ],
  [
    "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'. ",
    "Rejected",
    false
  ]
]

describe("what Redis says", () => {
  it.each(table)("%s", (message, expected, isElsewhere) => {
    for (const sent of [false, true]) expect(said(reply(message), sent)).toBe(expected)
    expect(Refusal.isElsewhere(reply(message))).toBe(isElsewhere)
    expect(Refusal.isForgotten(reply(message))).toBe(false)
  })

  it("may be that it has forgotten a script", () => {
    expect(Refusal.isForgotten(reply("NOSCRIPT No matching script. Please use EVAL."))).toBe(true)
  })

  it("is nothing when the connection is gone: then only what was not sent is known not to be there", () => {
    const closed = new Error("Connection is closed.")
    expect([said(closed, false), said(closed, true)]).toEqual(["Unavailable NotPublished", "Unavailable Unknown"])
    const unsent = new Error("Stream isn't writeable and enableOfflineQueue options is false")
    expect(said(unsent, true)).toBe("Unavailable NotPublished")
    expect([closed, unsent, "what", undefined].map(Refusal.isElsewhere)).toEqual([false, false, false, false])
    expect(said("what", true)).toBe("Unavailable Unknown")
  })
})
