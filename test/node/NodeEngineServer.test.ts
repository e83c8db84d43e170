/** What is answered to requests for Engine.IO, right ones and wrong ones. */
import { request as ask, type IncomingHttpHeaders } from "node:http"
import { afterEach, describe, expect, it } from "vitest"
import * as EngineRequest from "@millrace/core/interop/engineio/EngineRequest"
import { type Server, serve } from "../support/engineioServer.ts"
import { eventually } from "../support/eventually.ts"
import * as Effect from "effect/Effect"

const cleanups: Array<() => Promise<void> | void> = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

const until = (holds: () => boolean) => Effect.runPromise(eventually(holds))

const start = async (options: Partial<Parameters<typeof serve>[0]> = {}) => {
  const server = await serve({ onMessage: (session, data) => session.send(data), ...options })
  cleanups.push(server.close)
  return server
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

const send = (
  { url }: Server,
  method: string,
  query: string,
  options: { readonly headers?: Record<string, string>; readonly body?: string | Uint8Array } = {}
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const request = ask(`${url}/engine.io/?${query}`, { method, headers: options.headers ?? {}, agent: false })
    request.on("error", reject).on("response", (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (chunk) => (body += chunk))
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, body }))
    })
    request.on("upgrade", (_, socket) => {
      socket.destroy()
      resolve({ status: 101, headers: {}, body: "" })
    })
    request.end(options.body)
  })

const upgrade = {
  headers: {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="
  }
}

const polling = "EIO=4&transport=polling"

/** Opens a session. */
const open = async (server: Server) => {
  const { body } = await send(server, "GET", polling)
  expect(body.startsWith("0{")).toBe(true)
  return (JSON.parse(body.slice(1)) as { readonly sid: string }).sid
}

const refusal = (code: EngineRequest.Code) => new EngineRequest.EngineRefusal({ code }).json

describe("a session over polling", () => {
  it("is opened by GET with exactly what the protocol says, and under a name that nobody can guess", async () => {
    const server = await start()
    const answer = await send(server, "GET", polling)
    expect(answer.status).toBe(200)
    expect(answer.headers).toMatchObject({ "content-type": "text/plain; charset=UTF-8", "cache-control": "no-store" })
    const { sid, ...rest } = JSON.parse(answer.body.slice(1)) as Record<string, unknown>
    expect(sid).toMatch(/^[\w-]{22}$/)
    expect(rest).toEqual({
      upgrades: ["websocket"],
      pingInterval: 25_000,
      pingTimeout: 20_000,
      maxPayload: 1_000_000
    })
  })

  it("takes what is posted, answers ok, and says it back to a poll", async () => {
    const server = await start()
    const sid = await open(server)
    const posted = await send(server, "POST", `${polling}&sid=${sid}`, { body: "4hé\x1ebAQID" })
    expect([posted.status, posted.body, posted.headers["content-type"]]).toEqual([200, "ok", "text/html"])
    expect((await send(server, "GET", `${polling}&sid=${sid}`)).body).toBe("4hé\x1ebAQID")
  })

  it("ends with a second poll: that is refused, and the first is told", async () => {
    const server = await start()
    const sid = await open(server)
    const first = send(server, "GET", `${polling}&sid=${sid}`)
    await until(() => server.sessions[0]!.isPolled)
    const second = await send(server, "GET", `${polling}&sid=${sid}`)
    expect([second.status, second.body]).toEqual([400, refusal(3)])
    expect((await first).body).toBe("1")
    expect(server.size()).toBe(0)
  })

  it("outlives a poll that was given up, and loses nothing of what comes then", async () => {
    const server = await start()
    const sid = await open(server)
    const given = ask(`${server.url}/engine.io/?${polling}&sid=${sid}`).on("error", () => {})
    given.end()
    await until(() => server.sessions[0]!.isPolled)
    given.destroy()
    await until(() => !server.sessions[0]!.isPolled)
    server.sessions[0]!.send("kept")
    expect((await send(server, "GET", `${polling}&sid=${sid}`)).body).toBe("4kept")
  })

  it.each([
    ["an unknown type", "9"],
    ["nothing", ""],
    ["a ping of a client's own", "2"],
    ["more packets than may be", Array.from({ length: 20_000 }, () => "4").join("\x1e")]
  ])("ends with a post of %s", async (_, body) => {
    const server = await start()
    const sid = await open(server)
    expect((await send(server, "POST", `${polling}&sid=${sid}`, { body })).status).toBe(400)
    expect(server.size()).toBe(0)
  })

  it("refuses a body that is too long, coded or of bytes, and lives on", async () => {
    const server = await start()
    const sid = await open(server)
    const post = (headers: Record<string, string>, body: string) =>
      send(server, "POST", `${polling}&sid=${sid}`, { headers, body }).then(({ status }) => status)
    expect(await post({}, `4${"x".repeat(1_000_000)}`)).toBe(413)
    expect(await post({ "Content-Type": "application/octet-stream" }, "4x")).toBe(400)
    expect(await post({ "Content-Encoding": "gzip" }, "4x")).toBe(415)
    expect(await post({}, "4x")).toBe(200)
  })

  it("is gone when a client does not answer a ping", async () => {
    const server = await start({ pingInterval: 50, pingTimeout: 50 })
    await open(server)
    await until(() => server.size() === 0)
    expect(server.sessions[0]!.reasons).toEqual(["pingTimeout"])
  })
})

describe("a request", () => {
  it.each([
    ["GET", "EIO=4", 0],
    ["GET", "EIO=4&transport=constructor", 0],
    ["GET", "EIO=4&transport=webtransport", 0],
    ["GET", "EIO=4&transport=websocket", 3],
    ["GET", "EIO=3&transport=polling", 5],
    ["GET", "transport=polling", 5],
    ["POST", polling, 2],
    ["GET", `${polling}&sid=nobody`, 1],
    ["GET", `${polling}&sid=__proto__`, 1],
    ["GET", `${polling}&sid=${"x".repeat(65)}`, 1],
    ["GET", `${polling}&sid=`, 1]
  ] as const)("%s ?%s is refused with code %i", async (method, query, code) => {
    const server = await start()
    const answer = await send(server, method, query)
    expect([answer.status, answer.body]).toEqual([400, refusal(code)])
    expect(answer.headers["content-type"]).toBe("application/json")
    expect(server.size()).toBe(0)
  })

  it("for a WebSocket is refused as HTTP, with the same codes", async () => {
    const server = await start()
    for (const [query, code] of [
      [polling, 3],
      ["EIO=3&transport=websocket", 5],
      ["EIO=4&transport=websocket&sid=nobody", 1]
    ] as const) {
      const answer = await send(server, "GET", query, upgrade)
      expect([answer.status, answer.body]).toEqual([400, refusal(code)])
    }
    expect((await send(server, "GET", "EIO=4&transport=websocket", upgrade)).status).toBe(101)
  })

  it("of another method is refused, and asked for in advance allowed", async () => {
    const server = await start()
    const sid = await open(server)
    const put = await send(server, "PUT", `${polling}&sid=${sid}`)
    expect([put.status, put.headers["allow"]]).toEqual([405, "GET, POST, OPTIONS"])
    const options = await send(server, "OPTIONS", polling, { headers: { Origin: "https://elsewhere.example" } })
    expect([options.status, options.headers["access-control-allow-origin"]]).toEqual([204, "https://elsewhere.example"])
    expect(options.headers["access-control-allow-credentials"]).toBeUndefined()
  })
})
