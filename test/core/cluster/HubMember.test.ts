/** A WebSocket as a member: what holds for it when there is no room to say so. */
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { HubMember } from "@millrace/core/cluster/HubMember"
import { Publication } from "@millrace/core/cluster/Publication"
import * as Prepared from "@millrace/core/connection/Prepared"
import type { WebSocket, Written } from "@millrace/core/connection/WebSocket"

const member = () => {
  const world = { written: "Written" as Written, said: [] as Array<string>, ids: 0 }
  const connection = {
    tryWriteUnsafe: ({ message }: Prepared.Prepared) => {
      if (world.written === "Written") world.said.push(new TextDecoder().decode(message.bytes))
      return world.written
    },
    room: Effect.void,
    close: () => Effect.void
  } as Partial<WebSocket> as WebSocket
  return { world, self: new HubMember(connection, "ada", "u", () => `id ${++world.ids}`) }
}

const kicked = { _tag: "Kicked", topic: "t", reason: "rude" } as const

describe("a member", () => {
  it("has an id from when it is asked for, and only one", () => {
    const { self, world } = member()
    expect(world.ids).toBe(0)
    expect([self.id, self.id]).toEqual(["id 1", "id 1"])
  })

  it("is out of a topic at once, and in it again as it was when it can be told", () => {
    const { self, world } = member()
    self.topics.add("t")
    world.written = "Full"
    expect(self.tellUnsafe(kicked)).toBe("Full")
    expect([...self.topics]).toEqual([])
    self.topics.add("t")
    world.written = "Written"
    expect(self.tellUnsafe(kicked)).toBe("Written")
    expect([...self.topics]).toEqual(["t"])
    expect(world.said).toEqual(['{"type":"unsubscribed","topic":"t","reason":"kicked","message":"rude"}'])
  })

  it("is in the topic that it was moved to", () => {
    const { self } = member()
    self.topics.add("a")
    self.tellUnsafe({ _tag: "Moved", from: "a", to: "b", position: undefined })
    expect([...self.topics]).toEqual(["b"])
  })

  it("that has left is written nothing", () => {
    const { self, world } = member()
    self.topics.add("t")
    self.leave()
    const prepared = Prepared.make("late")
    expect([self.tryWriteUnsafe(prepared, new Publication("t", prepared)), self.tellUnsafe(kicked)]).toEqual([
      "NotOpen",
      "NotOpen"
    ])
    expect([world.said, [...self.topics]]).toEqual([[], []])
  })
})
