/**
 * SHA-1 of FIPS 180-4, for the one place where RFC 6455 asks for it: the accept key of section 1.3.
 *
 * Core names no platform cryptography and is synchronous. SHA-1 protects nothing here: the hash only proves that the
 * far end understood a WebSocket handshake. Use it for nothing else.
 */

const rotateLeft = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits))

/** The message, the bit 1, zeros, and the length in bits as 64-bit big-endian: whole blocks of 64 bytes. */
const pad = (message: Uint8Array): DataView => {
  const blocks = Math.floor((message.length + 8) / 64) + 1
  const padded = new Uint8Array(blocks * 64)
  padded.set(message)
  padded[message.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setUint32(padded.length - 8, Math.floor(message.length / 2 ** 29))
  view.setUint32(padded.length - 4, message.length << 3)
  return view
}

/** The 20 bytes of the digest of `message`. */
export const digest = (message: Uint8Array): Uint8Array => {
  const padded = pad(message)
  const schedule = new Uint32Array(80)
  let [h0, h1, h2, h3, h4] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]

  for (let block = 0; block < padded.byteLength; block += 64) {
    for (let t = 0; t < 16; t++) schedule[t] = padded.getUint32(block + t * 4)
    for (let t = 16; t < 80; t++) {
      schedule[t] = rotateLeft(schedule[t - 3]! ^ schedule[t - 8]! ^ schedule[t - 14]! ^ schedule[t - 16]!, 1)
    }
    let [a, b, c, d, e] = [h0, h1, h2, h3, h4]
    for (let t = 0; t < 80; t++) {
      const mixed =
        t < 20
          ? ((b & c) | (~b & d)) + 0x5a827999
          : t < 40
            ? (b ^ c ^ d) + 0x6ed9eba1
            : t < 60
              ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
              : (b ^ c ^ d) + 0xca62c1d6
      const next = (rotateLeft(a, 5) + mixed + e + schedule[t]!) | 0
      e = d
      d = c
      c = rotateLeft(b, 30)
      b = a
      a = next
    }
    h0 = (h0 + a) | 0
    h1 = (h1 + b) | 0
    h2 = (h2 + c) | 0
    h3 = (h3 + d) | 0
    h4 = (h4 + e) | 0
  }

  const hash = new DataView(new ArrayBuffer(20))
  for (const [i, word] of [h0, h1, h2, h3, h4].entries()) hash.setInt32(i * 4, word)
  return new Uint8Array(hash.buffer)
}
