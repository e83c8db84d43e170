/**
 * Runs the examples of our pages as a reader would.
 *
 *     ts           is checked, and run to its end
 *     ts no-run    is checked
 *     ts serve     is checked, and runs while the blocks below it run that are `client`, until the next `serve`; then
 *                  it gets a Ctrl-C and has to end by itself
 *     ts client    is checked, and run to its end while the `serve` above it runs
 *     js client    is run to its end while the `serve` above it runs
 *     sh serve     the one command of ours in it, run like `ts serve`
 *
 * What a block prints is what it says in `// => ...`, line by line, or else the `text` block that follows it. It prints
 * nothing on standard error. A `serve` block is ready when it has printed its first line.
 *
 * Ports that a page names after `localhost:`, `127.0.0.1:`, `port: `, `--port ` and `listen(` are exchanged for free ones when its
 * blocks run, and back again in what they print.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { type AddressInfo, createServer } from "node:net"
import { type Block, blocks, type Page, root } from "./markdown.ts"

/** Of this run alone: others may run beside it. */
const folder = `${root}node_modules/.cache/docs-${process.pid}`

/** How long a block may take to end, or to be ready, on a machine that has much else to do. */
const patience = 30_000

export const isExample = ({ language, use }: Block): boolean =>
  language === "ts" || (language === "js" && use === "client") || (language === "sh" && use === "serve")

const isRun = ({ use }: Block): boolean => use !== "no-run"

/** `docs/guides/server.md`, line 12: `docs-guides-server-12`. */
const fileOf = ({ line, page }: Block): string => `${page.replace(/\.md$/, "").replaceAll("/", "-")}-${line}`

/** What is wrong with a block; `undefined` when it is as it says. */
export type Verdict = string | undefined

/** Looks at all types at once. Lines are those of the page, so that what the compiler says can be looked up there. */
const check = (examples: ReadonlyArray<Block>): ReadonlyMap<Block, string> => {
  const typed = examples.filter(({ language }) => language === "ts")
  for (const block of typed) writeFileSync(`${folder}/${fileOf(block)}.ts`, "\n".repeat(block.line - 1) + block.code)
  const config = {
    extends: `${root}tsconfig.base.json`,
    files: typed.map((block) => `${fileOf(block)}.ts`),
    compilerOptions: {
      noEmit: true,
      composite: false,
      declaration: false,
      declarationMap: false,
      sourceMap: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
      lib: ["ES2023", "DOM", "DOM.Iterable"],
      types: ["node"]
    }
  }
  writeFileSync(`${folder}/package.json`, '{ "type": "module" }')
  writeFileSync(`${folder}/tsconfig.json`, JSON.stringify(config))
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    [`${root}node_modules/typescript/bin/tsc`, "-p", folder],
    {
      cwd: folder,
      encoding: "utf8"
    }
  )
  const wrong = new Map<Block, string>()
  for (const block of typed) {
    const said = stdout.split(/^(?=\S)/m).filter((line) => line.startsWith(`${fileOf(block)}.ts(`))
    if (said.length > 0) wrong.set(block, said.join(""))
  }
  if (status !== 0 && wrong.size === 0) throw new Error(`tsc failed:\n${stdout}${stderr}`)
  return wrong
}

const portInPage = /(?<=localhost:|127\.0\.0\.1:|port: |--port |listen\()\d{4,5}\b/g

/** A free port for each one that the pages name; all are held until the last is known, so that none comes twice. */
const freePorts = async (count: number): Promise<ReadonlyArray<number>> => {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      return server
    })
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

interface Ports {
  readonly toFree: (text: string) => string
  readonly toPage: (text: string) => string
}

const portsOf = (named: ReadonlyArray<string>, free: ReadonlyArray<number>): Ports => {
  const pairs = named.map((port, i) => [port, `${free[i]}`] as const)
  return {
    toFree: (text) => text.replaceAll(portInPage, (port) => pairs.find(([name]) => name === port)?.[1] ?? port),
    toPage: (text) => pairs.reduce((said, [name, port]) => said.replaceAll(`:${port}`, `:${name}`), text)
  }
}

/** What a block says that it prints. */
const expected = ({ code, language, prints }: Block): string => {
  const inline = language === "sh" ? [] : [...code.matchAll(/\/\/ => (.*)$/gm)].map(([, line = ""]) => line)
  return prints ?? inline.map((line) => `${line}\n`).join("")
}

class Running {
  private readonly child: ChildProcess
  private readonly ports: Ports
  private readonly block: Block
  private out = ""
  private err = ""
  private readonly exit: Promise<number | null>
  private onOutput = () => {}

  constructor(block: Block, ports: Ports) {
    this.block = block
    this.ports = ports
    this.child = spawn(process.execPath, this.argumentsOf(block), {
      cwd: folder,
      env: { ...process.env, NODE_COMPILE_CACHE: `${folder}/compiled`, NO_COLOR: "1", FORCE_COLOR: undefined },
      stdio: ["ignore", "pipe", "pipe"]
    })
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.out += text
      this.onOutput()
    })
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.err += text))
    this.exit = new Promise((resolve) => {
      this.child.on("close", (code) => {
        resolve(code)
        this.onOutput()
      })
    })
  }

  private argumentsOf({ code, language, page, line }: Block): ReadonlyArray<string> {
    if (language === "sh") {
      const [, command = ""] = /^(?:npx )?millrace (.*)$/m.exec(code) ?? []
      return [`${root}packages/node/bin/millrace.mjs`, ...this.ports.toFree(command).trim().split(/\s+/)]
    }
    const file = `${folder}/${fileOf(this.block)}.js`
    const script = language === "ts" ? stripTypeScriptTypes(code) : code
    writeFileSync(file, `${"\n".repeat(line - 1)}${this.ports.toFree(script)}\n//# sourceURL=${page}`)
    return ["--disable-warning=ExperimentalWarning", "--conditions=@millrace/source", file]
  }

  private said(): string {
    return this.ports.toPage(this.out)
  }

  private within<A>(promise: Promise<A>): Promise<A | "late"> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<"late">((resolve) => (timer = setTimeout(() => resolve("late"), patience)))
    return Promise.race([promise, late]).finally(() => clearTimeout(timer))
  }

  private complain(what: string): string {
    this.child.kill("SIGKILL")
    return `${what}\n--- it printed\n${this.said()}--- and on standard error\n${this.err}`
  }

  private compare(): Verdict {
    if (this.err !== "") return this.complain("it printed on standard error")
    const [said, says] = [this.said(), expected(this.block)].map((text) => text.replaceAll(/\s+$/gm, ""))
    return said === says ? undefined : this.complain(`it does not print what it says:\n${says}`)
  }

  /** To its end. */
  async toEnd(): Promise<Verdict> {
    const code = await this.within(this.exit)
    if (code === "late") return this.complain(`it has not ended after ${patience} ms`)
    return code === 0 ? this.compare() : this.complain(`it ended with exit code ${code}`)
  }

  /** Until it has printed a line. */
  async ready(): Promise<Verdict> {
    const printed = new Promise<void>((resolve) => {
      this.onOutput = () => {
        if (this.out.includes("\n") || this.child.exitCode !== null) resolve()
      }
      this.onOutput()
    })
    if ((await this.within(printed)) === "late") return this.complain(`it has printed nothing after ${patience} ms`)
    return this.child.exitCode === null ? undefined : this.complain("it ended, and was to run")
  }

  async interrupt(): Promise<Verdict> {
    if (this.child.exitCode !== null) return this.complain(`it ended by itself with ${this.child.exitCode}`)
    this.child.kill("SIGINT")
    const code = await this.within(this.exit)
    if (code === "late") return this.complain("it did not end at Ctrl-C")
    // 130 is what a shell says of a program that a Ctrl-C has ended; `null` is that end itself.
    return code === 0 || code === 130 || code === null
      ? this.compare()
      : this.complain(`at Ctrl-C it ended with exit code ${code}`)
  }
}

/** One page's blocks, one after the other. */
const runPage = async (examples: ReadonlyArray<Block>, ports: Ports, verdicts: Map<Block, Verdict>): Promise<void> => {
  let server: { readonly block: Block; readonly running: Running } | undefined
  const endServer = async () => {
    if (server !== undefined)
      verdicts.set(server.block, verdicts.get(server.block) ?? (await server.running.interrupt()))
    server = undefined
  }
  for (const block of examples) {
    if (block.use === "serve") {
      await endServer()
      const running = new Running(block, ports)
      server = { block, running }
      verdicts.set(block, await running.ready())
    } else {
      verdicts.set(block, await new Running(block, ports).toEnd())
    }
  }
  await endServer()
}

const runAll = async (pages: ReadonlyArray<Page>): Promise<ReadonlyMap<Block, Verdict>> => {
  const byPage = pages.map((page) => ({
    examples: blocks(page).filter(isExample),
    named: [...new Set(page.text.match(portInPage))]
  }))
  const verdicts = new Map<Block, Verdict>(check(byPage.flatMap(({ examples }) => examples)))
  const free = [...(await freePorts(byPage.reduce((sum, { named }) => sum + named.length, 0)))]
  const waiting = byPage.map(({ examples, named }) => ({
    examples,
    ports: portsOf(named, free.splice(0, named.length))
  }))
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const runnable = next.examples.filter((block) => isRun(block) && !verdicts.has(block))
      await runPage(runnable, next.ports, verdicts)
    }
  }
  await Promise.all(Array.from({ length: 4 }, work))
  return verdicts
}

/** What is wrong with each example of the pages. */
export const run = async (pages: ReadonlyArray<Page>): Promise<ReadonlyMap<Block, Verdict>> => {
  mkdirSync(folder, { recursive: true })
  try {
    return await runAll(pages)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
