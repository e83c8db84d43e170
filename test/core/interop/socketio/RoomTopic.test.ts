import { expect, it } from "vitest"
import * as RoomTopic from "@millrace/core/interop/socketio/RoomTopic"

it.each([
  ["/", "lobby", "lobby"],
  ["/", undefined, "/#"],
  ["/admin", "lobby", "/admin#lobby"],
  ["/admin", undefined, "/admin#"]
])("in the namespace %s the room %s is the topic %s", (namespace, room, topic) => {
  expect(RoomTopic.of(namespace, room)).toBe(topic)
})
