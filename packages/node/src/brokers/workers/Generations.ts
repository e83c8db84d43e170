/**
 * Who is the host: several processes that share nothing but a folder agree on one of them.
 *
 * Each host listens on a unix socket of its own in the folder, `1.sock`, `2.sock` and so on. The rules:
 *
 * 1. The host is who listens on the highest. Who looks for it connects there.
 * 2. Where nobody answers there, the host is dead: a process that is killed leaves its file, on which a connection is
 *    refused. Whoever finds that out binds the next one. `bind` makes the file or fails because it is there, in one step,
 *    so of all that try one wins, and the others connect to that one.
 * 3. Who has bound looks again before it takes a connection, and now and then as long as it is the host: when there is a
 *    higher file, or its own is gone or another's, it gives way. It ends its connections, and all nodes go to the highest.
 * 4. Who has bound and stays removes all that is lower. The files of the dead are at most those of one takeover.
 *
 * What could go wrong, and does not:
 *
 * - A process that has looked and is then stopped for long may bind a number that is past, as its file was removed (4).
 *   It sees the higher one by 3 before it has taken a connection.
 * - A file is there for a moment before somebody listens on it: `bind` and `listen` are two system calls. Who is refused
 *   tries again after `settling` before it believes so. A process that is stopped for longer between the two is passed
 *   over, and gives way by 3.
 * - A host that is stopped, or is in an endless loop, takes connections, as the system does that for it, but says no
 *   welcome: after `patience` it is passed over as if it were dead. When it goes on it finds the higher file within
 *   `interval`. Until then two processes believe that they are the host; those who hang on the old one are told nothing
 *   by it, and are cut then.
 * - A process is killed in the middle of taking over. Its file is left without a listener, which is case 2.
 * - A host that ends in good order removes its file itself: the next is bound by 2 where a lower one is left or there is
 *   none, and numbers may begin again at 1. Who has seen a higher one goes on from there, so that a number is hardly ever
 *   used twice; when it is, two files of one name were two inodes, by which 3 tells them apart.
 *
 * So there may be two for as long as `interval`, and never for good, as the highest stays.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs"
import * as net from "node:net"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** How many milliseconds pass between two looks of a host whether it still is. */
export const interval = 250

/** How many milliseconds a file may be without a listener before that is believed. */
export const settling = 25

/** Longest path of a socket, in bytes, on the systems that have the least room. */
const maxPathBytes = 103

/** Why the folder cannot be used, as a sentence; `undefined` when it can. It is made where there is none. */
export const unusable = (directory: string): string | undefined => {
  if (process.platform === "win32") return "several workers need unix sockets, which Windows does not have"
  const longest = pathOf(directory, 999_999)
  if (Buffer.byteLength(longest) > maxPathBytes) {
    return `${directory} is too long a name for the sockets in it: choose one of ${maxPathBytes - 11} bytes at most`
  }
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const { mode, uid } = statSync(directory)
    if (uid !== process.getuid!()) return `${directory} belongs to another user`
    return (mode & 0o022) === 0 ? undefined : `${directory} can be written to by other users`
  } catch (error) {
    return `${directory} cannot be used: ${(error as Error).message}`
  }
}

export const pathOf = (directory: string, generation: number): string => join(directory, `${generation}.sock`)

/** Those that there are files of, in no order. */
const all = (directory: string): ReadonlyArray<number> => {
  try {
    return readdirSync(directory)
      .map((name) => Number(/^([1-9]\d{0,14})\.sock$/.exec(name)?.[1]))
      .filter((generation) => generation > 0)
  } catch {
    return []
  }
}

/** The highest that there is a file of; 0 for none. */
export const highest = (directory: string): number => Math.max(0, ...all(directory))

/** Which file that is, in no matter which folder; `undefined` for none. */
const inodeOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino

/** A socket that is bound and the highest. */
export interface Seat {
  /** Whether it is not any more. */
  readonly isLost: () => boolean
}

/**
 * Binds a generation as long as the scope is open, and takes connections. `undefined` when another was there before, or
 * has a higher one; then nobody was connected.
 */
export const take = (
  directory: string,
  generation: number,
  connected: (socket: net.Socket) => void
): Effect.Effect<Seat | undefined, Error, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(bind(directory, generation, connected), (bound) =>
      bound === undefined
        ? Effect.void
        : Effect.callback<void>((resume) => void bound.server.close(() => resume(Effect.void)))
    ),
    (bound) => bound?.seat
  )

const bind = (
  directory: string,
  generation: number,
  connected: (socket: net.Socket) => void
): Effect.Effect<{ readonly server: net.Server; readonly seat: Seat } | undefined, Error> =>
  Effect.callback((resume) => {
    const path = pathOf(directory, generation)
    const server = net.createServer(connected)
    const failed = (error: NodeJS.ErrnoException) =>
      resume(error.code === "EADDRINUSE" ? Effect.succeed(undefined) : Effect.fail(error))
    server.on("error", failed)
    server.listen(path, () => {
      // Too many open files, and the like: who could not be taken comes again.
      server.off("error", failed).on("error", () => {})
      const inode = inodeOf(path)
      const isLost = () => highest(directory) > generation || inodeOf(path) !== inode
      // Looked at in the turn in which it listens, so that nobody has been taken yet.
      if (inode === undefined || isLost()) return void server.close(() => resume(Effect.succeed(undefined)))
      for (const lower of all(directory)) {
        if (lower < generation) rmSync(pathOf(directory, lower), { force: true })
      }
      resume(Effect.succeed({ server, seat: { isLost } }))
    })
  })

/** A connection, as long as the scope is open; `undefined` where nobody listens. */
export const connect = (
  directory: string,
  generation: number
): Effect.Effect<net.Socket | undefined, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<net.Socket | undefined>((resume) => {
      const socket = net.connect(pathOf(directory, generation))
      const failed = () => resume(Effect.succeed(undefined))
      socket.on("error", failed)
      socket.once("connect", () => {
        socket.off("error", failed)
        resume(Effect.succeed(socket))
      })
    }),
    (socket) => Effect.sync(() => socket?.destroy())
  )
