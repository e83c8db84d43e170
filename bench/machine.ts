/** What a number is worth nothing without: the machine and the versions. */
import { readFileSync } from "node:fs"
import { cpus, loadavg, totalmem } from "node:os"
import { fileURLToPath } from "node:url"

const versionOf = (name: string): string => {
  try {
    const manifest = readFileSync(fileURLToPath(import.meta.resolve(`${name}/package.json`)), "utf8")
    return (JSON.parse(manifest) as { readonly version: string }).version
  } catch {
    throw new Error(`${name} is not installed, and is measured against: run npm ci`)
  }
}

export const describe = (): string => {
  const cores = cpus()
  const model = cores[0]?.model.trim() ?? "an unknown processor"
  return [
    `${cores.length} × ${model}`,
    `${Math.round(totalmem() / 1024 ** 3)} GiB of memory`,
    `${process.platform}-${process.arch}`,
    `Node.js ${process.versions.node}`,
    `ws ${versionOf("ws")}`,
    `bufferutil ${versionOf("bufferutil")}`
  ].join(", ")
}

/** Whether others keep more than half of the processor busy. */
export const isBusy = (): boolean => (loadavg()[0] ?? 0) > cpus().length / 2
