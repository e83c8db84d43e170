/**
 * The page of the hub in a real Chromium, from a hub that does what the test says. It is served under the policy that the
 * real one sends and no sinks for markup besides, so a style or a script in the wrong place fails every test.
 */
import { once } from "node:events"
import { createReadStream } from "node:fs"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { extname } from "node:path"
import { fileURLToPath } from "node:url"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { type WebSocket, WebSocketServer } from "ws"

const types = new Map([
  [".html", "text/html; charset=utf-8"],
  [".css", "text/css; charset=utf-8"],
  [".js", "text/javascript; charset=utf-8"]
])

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

/** A hub. It answers subscriptions, hands every publish to everybody, and remembers what it was told. */
export const serve = async (port = 0) => {
  const heard: Array<{ readonly name: string | null; readonly text: string }> = []
  const sockets = new Set<WebSocket>()
  const answers: Record<string, object> = {
    "/health": { status: "ok", node: "n1", broker: { name: "memory", status: "up" } },
    "/topics": { node: "n1", topics: [], silent: [] }
  }
  const http = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://hub").pathname
    if (path === "/events" && hub.events !== undefined) return hub.events(response)
    const answer = answers[path]
    if (answer !== undefined) hub.asked.push(path)
    if (answer !== undefined) return void response.end(JSON.stringify(answer))
    // Nobody is anywhere, unless the test says so.
    if (path.endsWith("/presence")) return void response.end('{"wires":{}}')
    const file = path === "/" ? "index.html" : path.slice(1)
    const type = types.get(extname(file))
    if (type === undefined) return void response.writeHead(404).end()
    response.writeHead(200, { "content-type": type, "content-security-policy": policy })
    createReadStream(fileURLToPath(import.meta.resolve(`@millrace/browser/console/${file}`))).pipe(response)
  })
  const hub = {
    heard,
    answers,
    /** Which of those it was asked for. */
    asked: [] as Array<string>,
    /** What it says to a message, where that is not the usual. */
    reply: undefined as ((message: { readonly [name: string]: unknown }) => object | undefined) | undefined,
    /** How it answers who wants events. */
    events: undefined as ((response: ServerResponse) => void) | undefined,
    /** The status with which it refuses WebSockets. */
    refuses: undefined as number | undefined,
    /** Whether it says anything at all on a WebSocket. */
    isMute: false,
    sockets,
    url: "",
    types: () => heard.map(({ text }) => JSON.parse(text).type as string),
    say: (text: string) => {
      for (const socket of sockets) socket.send(text)
    },
    message: (topic: string, data: unknown, from = "grace") =>
      hub.say(HubMessage.encodeMessage({ topic, dataJson: HubMessage.toJson(data), from, time: Date.UTC(2027, 0, 1) })),
    end: () => {
      for (const socket of sockets) socket.terminate()
      http.close()
      http.closeAllConnections()
    }
  }
  const verifyClient = (_: unknown, done: (accepted: boolean, status?: number) => void) =>
    done(hub.refuses === undefined, hub.refuses)
  new WebSocketServer({ server: http, handleProtocols: () => HubMessage.subprotocol, verifyClient }).on(
    "connection",
    (socket, request) => {
      const name = new URL(request.url ?? "", "http://hub").searchParams.get("name")
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
      socket.on("message", (bytes) => {
        const text = String(bytes)
        const { type, topic, data, id } = JSON.parse(text)
        if (hub.isMute) return
        if (type === "ping") return void socket.send(JSON.stringify({ type: "pong", id }))
        heard.push({ name, text })
        const own = hub.reply?.(JSON.parse(text))
        if (own !== undefined) return void socket.send(JSON.stringify(own))
        if (type === "subscribe") socket.send(HubMessage.encode({ type: "subscribed", topic, id }))
        if (type !== "publish") return
        hub.message(topic, data, name ?? "anonymous")
        socket.send(HubMessage.encode({ type: "published", topic, id, receivers: sockets.size }))
      })
      socket.send(HubMessage.encode({ type: "welcome", client: name ?? "anonymous", protocol: 1 }))
    }
  )
  http.listen(port, "127.0.0.1")
  await once(http, "listening")
  hub.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  return hub
}

/** The page, and what it has to complain of: in its console, and that it asks of others than its hub. */
export const visit = async (
  browser: Browser,
  url: string,
  complaints: Array<string>,
  options: BrowserContextOptions = {}
): Promise<Page> => {
  const page = await (await browser.newContext({ locale: "en-GB", timezoneId: "UTC", ...options })).newPage()
  page.setDefaultTimeout(10_000)
  page.on("console", (message) => complaints.push(message.text()))
  page.on("pageerror", (error) => complaints.push(String(error)))
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url())
    if (protocol !== "data:" && origin !== new URL(url).origin) complaints.push(`asked ${origin}`)
  })
  await page.goto(url)
  await page.locator("#state[data-state=connected]").waitFor()
  return page
}
