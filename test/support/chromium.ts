/**
 * A real Chromium on every machine: `$CHROMIUM`, else one that the system has, else, on Linux x64, the one that
 * `npm ci` brought in @sparticuz/chromium, unpacked once under node_modules/.cache together with the libraries and
 * fonts that a bare system lacks.
 */
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Browser, chromium, type LaunchOptions } from "playwright-core"

export interface Chromium {
  readonly executablePath: string
  /** What to add to the environment of its process. */
  readonly env: Readonly<Record<string, string>>
}

const installed = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe"
]

/** The package's own looks in directories of another machine. Open Sans comes first, so that pictures look the same. */
const fonts = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <dir>/usr/share/fonts</dir>
  <dir prefix="xdg">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
  <alias binding="strong"><family>sans-serif</family><prefer><family>Open Sans</family></prefer></alias>
  <alias binding="strong"><family>system-ui</family><prefer><family>Open Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
`

const cache = fileURLToPath(new URL("../../node_modules/.cache/chromium", import.meta.url))

/** Where the packed Chromium of the installed version is, or will be. */
const home = async (): Promise<string> => {
  const manifest = fileURLToPath(new URL("../package.json", import.meta.resolve("@sparticuz/chromium")))
  const { version } = JSON.parse(await readFile(manifest, "utf8")) as { readonly version: string }
  return join(cache, version)
}

/**
 * The package unpacks into the temporary directory and takes a file that exists for a file that is whole, so a run
 * that was cut short, or two at once, would leave a broken browser for good. Here each run unpacks into a directory
 * of its own, and one rename makes it everybody's; whoever comes second throws its copy away.
 */
const unpack = async (home: string): Promise<void> => {
  await mkdir(cache, { recursive: true })
  const own = await mkdtemp(join(cache, "unpacking-"))
  const before = process.env["TMPDIR"]
  process.env["TMPDIR"] = own
  try {
    const pack = await import("@sparticuz/chromium")
    await pack.default.executablePath()
    await pack.inflate(fileURLToPath(new URL("../bin/al2023.tar.br", import.meta.resolve("@sparticuz/chromium"))))
    await writeFile(join(own, "fonts/fonts.conf"), fonts)
    await rename(own, home)
  } catch (error) {
    // What was begun may still write.
    await rm(own, { recursive: true, force: true, maxRetries: 10 }).catch(() => {})
    if (!existsSync(home)) throw error
  } finally {
    if (before === undefined) delete process.env["TMPDIR"]
    else process.env["TMPDIR"] = before
  }
}

/** `undefined` when there is none and none can be unpacked: not on Linux x64, and nothing at the usual places. */
export const find = async (): Promise<Chromium | undefined> => {
  const named = process.env["CHROMIUM"]
  if (named !== undefined && named !== "") {
    if (!existsSync(named)) throw new Error(`$CHROMIUM names ${named}, which does not exist`)
    return { executablePath: named, env: {} }
  }
  const executablePath = installed.find((path) => existsSync(path))
  if (executablePath !== undefined) return { executablePath, env: {} }
  if (process.platform !== "linux" || process.arch !== "x64") return undefined
  const directory = await home()
  if (!existsSync(directory)) await unpack(directory)
  return {
    executablePath: join(directory, "chromium"),
    env: { LD_LIBRARY_PATH: join(directory, "al2023/lib"), FONTCONFIG_PATH: join(directory, "fonts") }
  }
}

/** How Playwright is to start it: which executable, and what is in its environment. */
export const launchOptions = async (): Promise<Required<Pick<LaunchOptions, "executablePath" | "env">>> => {
  const found = await find()
  if (found === undefined) {
    throw new Error("no Chromium: install one, or name its executable in $CHROMIUM")
  }
  const inherited = Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  return { executablePath: found.executablePath, env: { ...Object.fromEntries(inherited), ...found.env } }
}

/** A headless Chromium; close it when done. */
export const launch = async (options: LaunchOptions = {}): Promise<Browser> =>
  chromium.launch({ ...options, ...(await launchOptions()) })
