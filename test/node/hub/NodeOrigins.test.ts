import { describe, expect, it } from "vitest"
import * as NodeOrigins from "@millrace/node/hub/NodeOrigins"

describe("NodeOrigins.sources", () => {
  it("is a page's own node alone where there are no others", () => {
    expect(NodeOrigins.sources([])).toBe("'self'")
  })

  it("names each origin once, by HTTP and WebSocket", () => {
    const urls = ["https://one.example/", "wss://one.example/hub", "http://[::1]:8080", "HTTPS://Two.example:443/a?b"]
    expect(NodeOrigins.sources(urls)).toBe(
      "'self' https://one.example wss://one.example http://[::1]:8080 ws://[::1]:8080 https://two.example wss://two.example"
    )
  })

  it.each([
    "",
    "one.example",
    "data:text/html,",
    "file:///etc",
    "ftp://one.example",
    "https://a;script-src",
    "https://*"
  ])("leaves out %j, which browsers cannot reach or a policy cannot say", (url) =>
    expect(NodeOrigins.sources([url])).toBe("'self'")
  )

  it(`has at most ${NodeOrigins.max}`, () => {
    const urls = Array.from({ length: NodeOrigins.max + 1 }, (_, i) => `https://n${i}.example/`)
    expect(NodeOrigins.sources(urls)).not.toContain(`n${NodeOrigins.max}.`)
  })
})

const urlOf = (i: number) => `https://n${i}.example/`

describe("NodeOrigins.Remembered", () => {
  it(`knows the last ${NodeOrigins.max} that it was told of, each once`, () => {
    const known = new NodeOrigins.Remembered()
    for (let i = 0; i < NodeOrigins.max; i++) known.add(urlOf(i))
    known.add(urlOf(0))
    known.add("one.example")
    expect(known.list().length).toBe(NodeOrigins.max)
    known.add("wss://new.example/hub")
    const hosts = known.list().map(({ host }) => host)
    expect([hosts.length, hosts[0], ...hosts.slice(-2)]).toEqual([
      NodeOrigins.max,
      "n2.example",
      "n0.example",
      "new.example"
    ])
  })
})
