/**
 * Records what a server of Rails says, to `rails-*.jsonl` beside this file:
 *
 *     node test/goldens/actioncable/record.ts
 *
 * Ruby, Rails' Action Cable and Puma are Debian's, unpacked into a folder of its own that is removed again: no root is
 * needed, and nothing is installed. Each line of a golden is what was said, in order: `>` by the client, `<` by the server;
 * `do`, what the server was told to do; `close`, the code that the server closed with. After each the server had the time
 * that it took to say nothing more. Pings are left out but for the golden that is about them.
 */
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as Debian from "../../support/debian.ts"
import { type Golden, goldens } from "./conversations.ts"

const here = fileURLToPath(new URL(".", import.meta.url))

/** How long a server may take to say something, in milliseconds: many times what it takes. */
const quiet = 400

const packages = ["ruby3.1", "ruby-rubygems", "rubygems-integration", "puma", "racc"].concat(
  ["actioncable", "actionpack", "actionview", "activesupport", "builder", "concurrent", "crass", "erubi", "i18n"]
    .concat("loofah", "mini-portile2", "nio4r", "nokogiri", "pkg-config", "rack", "rack-test")
    .concat("rails-deprecated-sanitizer", "rails-dom-testing", "rails-html-sanitizer", "tzinfo", "websocket-driver")
    .concat("websocket-extensions", "zeitwerk")
    .map((name) => `ruby-${name}`)
)

const foldersUnder = (folder: string): ReadonlyArray<string> =>
  existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []

/** What Ruby has to be told, as it is not where it was built to be. */
const environment = (root: string): Readonly<Record<string, string>> => {
  const lib = join(root, "usr/lib")
  const native = foldersUnder(lib).find((folder) => folder.endsWith("-linux-gnu"))!
  const share = join(root, "usr/share/rubygems-integration")
  const homes = [join(share, "all"), join(share, "3.1.0"), join(native, "rubygems-integration/3.1.0")]
  const libraries = [join(lib, "ruby"), join(native, "ruby")].flatMap((folder) =>
    ["3.1.0", "vendor_ruby", "vendor_ruby/3.1.0"].map((name) => join(folder, name))
  )
  return {
    LD_LIBRARY_PATH: native,
    RUBYLIB: libraries.join(delimiter),
    GEM_PATH: [...homes, join(lib, "ruby/gems/3.1.0")].join(delimiter),
    GEM_HOME: join(root, "gems")
  }
}

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const record = async (golden: Golden, url: string, told: (what: ReadonlyArray<unknown>) => void) => {
  const lines: Array<object> = []
  const socket = new WebSocket(`${url}?${golden.user === undefined ? "" : `user=${golden.user}`}`, [
    "actioncable-v1-json",
    "actioncable-unsupported"
  ])
  let last = performance.now()
  socket.addEventListener("message", ({ data }) => {
    const said = JSON.parse(String(data)) as { readonly type?: string }
    if (said.type === "ping" && !golden.name.includes("ping")) return
    last = performance.now()
    // Whatever the time was.
    const text = said.type === "ping" ? String(data).replace(/\d+/, "0") : String(data)
    lines.push({ "<": text })
  })
  socket.addEventListener("close", ({ code }) => lines.push({ close: code }))
  const settled = async () => {
    last = performance.now()
    while (performance.now() - last < quiet) await sleep(20)
  }
  await (golden.wait === undefined ? settled() : sleep(golden.wait))
  for (const step of golden.steps) {
    if (typeof step === "string") {
      lines.push({ ">": step })
      socket.send(step)
    } else {
      lines.push({ do: step })
      told(step)
    }
    await settled()
  }
  const isOver = socket.readyState === WebSocket.CLOSED
  socket.close()
  await settled()
  return isOver ? lines : lines.filter((line) => !("close" in line))
}

const folder = mkdtempSync(join(tmpdir(), "rails-"))
try {
  const root = join(folder, "root")
  console.log("unpacking Ruby and Rails ...")
  Debian.unpacking(folder)(packages, root)
  const server = spawn(join(root, "usr/bin/ruby3.1"), [join(here, "server.rb")], {
    env: { ...process.env, ...environment(root) },
    stdio: ["pipe", "pipe", "inherit"]
  })
  const ended = new Promise((resolve) => server.on("exit", resolve))
  const answers = createInterface({ input: server.stdout })[Symbol.asyncIterator]()
  const first = await answers.next()
  if (first.done) throw new Error("the server did not start")
  const { port, version } = JSON.parse(first.value) as { readonly port: number; readonly version: string }
  console.log(`Rails ${version}`)
  for (const golden of goldens) {
    const url = `ws://127.0.0.1:${port}/cable`
    const lines = await record(golden, url, (what) => void server.stdin.write(`${JSON.stringify(what)}\n`))
    const all = [{ name: golden.name, server: `Action Cable of Rails ${version}`, user: golden.user }, ...lines]
    writeFileSync(
      join(here, `rails-${golden.name.replaceAll(" ", "-")}.jsonl`),
      `${all.map((line) => JSON.stringify(line)).join("\n")}\n`
    )
    console.log(`${golden.name}: ${lines.length} lines`)
  }
  server.stdin.end()
  await ended
} finally {
  rmSync(folder, { recursive: true, force: true })
}
