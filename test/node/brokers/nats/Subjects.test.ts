import { expect, it } from "vitest"
import * as Subjects from "@millrace/node/brokers/nats/Subjects"

it.each([
  ["lobby", "bG9iYnk"],
  ["", "_"],
  ["_", "Xw"],
  [">>>", "Pj4-"],
  ["???>", "Pz8_Pg"],
  ["\u{1f642}", "8J-Zgg"],
  ["a.b *", "YS5iICo"]
])("writes %j as %s, which is one word of a subject", (text, word) => {
  expect(Subjects.word(text)).toBe(word)
  expect(Subjects.make("chat").log(text)).toBe(`chat.log.${word}`)
  expect(Subjects.make("chat").live(text)).toBe(`chat.live.${word}`)
  expect(Subjects.make("chat.two").cast(text)).toBe(`chat.two.cast.${word}`)
})

it("makes 342 characters of the longest topic", () => {
  expect(Subjects.word("x".repeat(256)).length).toBe(342)
})

it("takes words with dots between them as a prefix, and nothing else", () => {
  for (const prefix of ["a", "a.b-c.D_9", "x".repeat(64)]) expect(Subjects.isPrefix(prefix)).toBe(true)
  for (const prefix of ["", ".", "a.", ".a", "a..b", "a b", "a\r\nb", "a.*", ">", "ä", "$JS", "x".repeat(65)]) {
    expect([prefix, Subjects.isPrefix(prefix)]).toEqual([prefix, false])
  }
})
