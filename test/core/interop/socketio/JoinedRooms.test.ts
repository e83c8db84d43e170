/** The rooms of a socket against the table that they stand for. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { JoinedRooms } from "@millrace/core/interop/socketio/JoinedRooms"

const room = (topic: string, name = topic) => ({ topic, name, at: undefined, since: undefined })

describe("JoinedRooms", () => {
  it("is what a table would be, however many there are", () => {
    const topic = fc.integer({ min: 0, max: 20 }).map(String)
    const step = fc.record({ does: fc.constantFrom("add", "add", "delete"), topic, name: fc.string() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const rooms = new JoinedRooms()
        const table = new Map<string, ReturnType<typeof room>>()
        for (const { does, name, topic } of steps) {
          if (does === "delete") {
            expect(rooms.delete(topic)).toBe(table.delete(topic))
          } else {
            rooms.add(room(topic, name))
            table.set(topic, room(topic, name))
          }
          expect(rooms.all).toEqual([...table.values()])
          expect(rooms.topics).toEqual([...table.keys()])
          expect(rooms.get(topic)).toEqual(table.get(topic))
          expect(rooms.has(topic)).toBe(table.has(topic))
        }
      })
    )
  })

  it("lets who goes through them leave them", () => {
    for (const count of [3, 30]) {
      const rooms = new JoinedRooms()
      for (let i = 0; i < count; i++) rooms.add(room(`room-${i}`))
      let seen = 0
      for (const topic of rooms.topics) {
        rooms.delete(topic)
        seen++
      }
      expect(seen).toBe(count)
      expect(rooms.all).toEqual([])
    }
  })
})
