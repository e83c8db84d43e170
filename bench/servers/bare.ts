/**
 * The floor: what Node.js itself takes for the same bytes. Frames are parsed in the data callback, unmasked where they
 * lie and sent back with one write for each read. No limits, no validation, no closing: not a WebSocket server.
 */
import { createHash } from "node:crypto"
import { createServer } from "node:http"
import type { AddressInfo, Socket } from "node:net"

const sockets = new Set<Socket>()
const broadcasts = process.argv[2] === "broadcast"

/** A header for a payload of `size` bytes, as servers write it. */
const header = (opcode: number, size: number): Buffer => {
  const head = Buffer.alloc(size < 126 ? 2 : size < 65_536 ? 4 : 10)
  head[0] = opcode
  head[1] = head.length === 2 ? size : head.length === 4 ? 126 : 127
  if (head.length === 4) head.writeUInt16BE(size, 2)
  if (head.length === 10) head.writeBigUInt64BE(BigInt(size), 2)
  return head
}

/** Unmasks in place, by words where they are aligned; `phase` is the index into the key of the first byte. */
const unmask = (bytes: Buffer, key: Buffer, phase: number): void => {
  let at = 0
  const byte = () => {
    bytes[at] = bytes[at]! ^ key[(phase + at) & 3]!
    at++
  }
  while (at < bytes.length && ((bytes.byteOffset + at) & 3) !== 0) byte()
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + at, (bytes.length - at) >> 2)
  const rotated = Uint8Array.from([0, 1, 2, 3], (index) => key[(phase + at + index) & 3]!)
  const word = new Uint32Array(rotated.buffer)[0]!
  for (let index = 0; index < words.length; index++) words[index] = words[index]! ^ word
  at += words.length * 4
  while (at < bytes.length) byte()
}

const serve = (socket: Socket) => {
  let rest: Buffer = Buffer.alloc(0)
  let key = rest
  let left = 0
  let phase = 0
  sockets.add(socket.setNoDelay(true))
  socket.on("close", () => sockets.delete(socket))
  socket.on("error", () => {})
  socket.on("data", (data: Buffer) => {
    const chunk = rest.length === 0 ? data : Buffer.concat([rest, data])
    const out: Array<Buffer> = []
    let at = 0
    while (at < chunk.length) {
      if (left === 0) {
        const short = chunk.length - at < 2 ? 127 : chunk[at + 1]! & 0x7f
        const size = short < 126 ? 6 : short === 126 ? 8 : 14
        if (chunk.length - at < size) break
        left = short < 126 ? short : short === 126 ? chunk.readUInt16BE(at + 2) : Number(chunk.readBigUInt64BE(at + 2))
        key = chunk.subarray(at + size - 4, at + size)
        phase = 0
        out.push(header(chunk[at]!, left))
        at += size
      }
      const piece = chunk.subarray(at, at + left)
      unmask(piece, key, phase)
      out.push(piece)
      at += piece.length
      phase += piece.length
      left -= piece.length
    }
    rest = chunk.subarray(at)
    if (out.length === 0) return
    const bytes = Buffer.concat(out)
    if (broadcasts) {
      for (const other of sockets) if (other !== socket) other.write(bytes)
    } else socket.write(bytes)
  })
}

const server = createServer()
server.on("upgrade", (request, socket: Socket) => {
  const key = request.headers["sec-websocket-key"]
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
  )
  serve(socket)
})
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: (server.address() as AddressInfo).port })))
