/** Requests for Engine.IO that no client makes, over real sockets: none harms more than its own session. */
import { type ClientRequest, request as ask } from "node:http"
import * as Effect from "effect/Effect"
import { afterEach, describe, expect, it } from "vitest"
import { WebSocket } from "ws"
import * as EngineRequest from "@millrace/core/interop/engineio/EngineRequest"
import { serve, type Server } from "../support/engineioServer.ts"
import { eventually } from "../support/eventually.ts"

const cleanups: Array<() => Promise<void> | void> = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

const until = (holds: () => boolean) => Effect.runPromise(eventually(holds))

const start = async () => {
  const heard: Array<string> = []
  const server = await serve({ onMessage: (_, data) => void heard.push(String(data)) })
  cleanups.push(server.close)
  return { server, heard }
}

const polling = "EIO=4&transport=polling"

interface Asked {
  readonly request: ClientRequest
  /** What came back, or that nothing did. */
  readonly answer: Promise<readonly [status: number, body: string]>
}

/** A request that is not ended yet. */
const begin = (
  { url }: Server,
  method: string,
  query: string,
  headers: Readonly<Record<string, string | number>> = {}
): Asked => {
  const request = ask(`${url}/engine.io/?${query}`, { method, headers, agent: false })
  const answer = new Promise<readonly [number, string]>((resolve) => {
    request
      .on("error", () => resolve([0, ""]))
      .on("response", (response) => {
        let body = ""
        response.setEncoding("utf8").on("data", (chunk) => (body += chunk))
        response.on("error", () => {}).on("close", () => resolve([response.statusCode!, body]))
      })
  })
  return { request, answer }
}

const send = (server: Server, method: string, query: string, body?: string) => {
  const { answer, request } = begin(server, method, query)
  request.end(body)
  return answer
}

const open = async (server: Server): Promise<string> => {
  const [, body] = await send(server, "GET", polling)
  return `${polling}&sid=${(JSON.parse(body.slice(1)) as { readonly sid: string }).sid}`
}

const bad = [400, new EngineRequest.EngineRefusal({ code: 3 }).json]
const ok = [200, "ok"]

describe("a post", () => {
  it.each([1_000_001, 2 ** 31, Number.MAX_SAFE_INTEGER])(
    "that announces %i bytes is refused before one of them has come, and the session lives",
    async (length) => {
      const { heard, server } = await start()
      const session = await open(server)
      const { answer, request } = begin(server, "POST", session, { "Content-Length": length })
      request.flushHeaders()
      expect((await answer)[0]).toBe(413)
      expect(await send(server, "POST", session, "4a")).toEqual(ok)
      expect(heard).toEqual(["a"])
    }
  )

  it("that never says how long it is has no more bytes than one that does, and the session lives", async () => {
    const { heard, server } = await start()
    const session = await open(server)
    const { answer, request } = begin(server, "POST", session, { "Transfer-Encoding": "chunked" })
    const more = () => {
      while (!request.destroyed && request.write("4".repeat(65_536)));
    }
    request.on("drain", more)
    more()
    // The connection is cut behind the answer, which may get lost by that.
    expect([0, 413]).toContain((await answer)[0])
    request.destroy()
    expect(await send(server, "POST", session, "4a")).toEqual(ok)
    expect(heard).toEqual(["a"])
  })

  it("beside another ends the session: both are refused, and nothing of them is heard", async () => {
    const { heard, server } = await start()
    const session = await open(server)
    const first = begin(server, "POST", session, { "Content-Length": 4 })
    first.request.write("4a")
    const second = begin(server, "POST", session, { "Content-Length": 4 })
    second.request.write("4b")
    // Either may have come first.
    const refused = await Promise.race([first, second].map(({ answer }, i) => answer.then(() => i)))
    const other = [second, first][refused]!
    other.request.end("aa")
    expect([await first.answer, await second.answer]).toEqual([bad, bad])
    expect([heard, server.sessions[0]!.reasons]).toEqual([[], ["violation"]])
    expect((await send(server, "POST", session, "4c"))[0]).toBe(400)
  })

  it.each([
    ["separators", "\u001e".repeat(999_999)],
    ["packets of nothing to say", "6\u001e".repeat(499_999) + "6"],
    ["bytes of nothing", "b\u001e".repeat(499_999) + "b"],
    ["no base64", `b${"=".repeat(999_998)}`],
    ["no packet", "x".repeat(1_000_000)]
  ])("of nearly a megabyte of %s is refused, and ends its own session alone", async (_, body) => {
    const { heard, server } = await start()
    const other = await open(server)
    expect(await send(server, "POST", await open(server), body)).toEqual(bad)
    expect(server.size()).toBe(1)
    expect(await send(server, "POST", other, "4a")).toEqual(ok)
    expect(heard.at(-1)).toBe("a")
  })
})

const upgrade = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": 13,
  "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="
}

describe("a WebSocket", () => {
  it.each([
    ["transport=constructor", 0],
    ["transport=__proto__", 0],
    ["transport=webtransport", 0],
    ["transport=websocket&sid=__proto__", 1],
    ["transport=websocket&sid=constructor", 1],
    ["transport=websocket&sid=toString", 1],
    ["transport=websocket&sid=", 1]
  ] as const)("for %s is refused with code %i", async (query, code) => {
    const { server } = await start()
    const { answer, request } = begin(server, "GET", `EIO=4&${query}`, upgrade)
    request.end()
    expect(await answer).toEqual([400, new EngineRequest.EngineRefusal({ code }).json])
    expect(server.size()).toBe(0)
  })

  it("for a session that has one already is closed, and the session lives; behind it polls and posts are refused", async () => {
    const { heard, server } = await start()
    const session = await open(server)
    const url = `${server.url.replace("http", "ws")}/engine.io/?${session.replace("polling", "websocket")}`
    const connect = () => {
      const socket = new WebSocket(url)
      const said: Array<string> = []
      socket.on("error", () => {}).on("message", (data) => void said.push(String(data)))
      cleanups.push(() => socket.terminate())
      return { socket, said }
    }
    const first = connect()
    first.socket.on("open", () => first.socket.send("2probe"))
    await until(() => first.said.length === 1)
    const second = connect()
    await until(() => second.socket.readyState === WebSocket.CLOSED)
    expect([first.said, second.said]).toEqual([["3probe"], []])
    first.socket.send("5")
    first.socket.send("4a")
    await until(() => heard.length === 1)
    const third = connect()
    await until(() => third.socket.readyState === WebSocket.CLOSED)
    expect(await send(server, "GET", session)).toEqual(bad)
    expect(await send(server, "POST", session, "4b")).toEqual(bad)
    first.socket.send("4c")
    await until(() => heard.length === 2)
    expect([heard, server.size()]).toEqual([["a", "c"], 1])
  })
})
