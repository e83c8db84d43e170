/**
 * Base64 of RFC 4648 section 4, with padding: for handshake keys, and for bytes in text. The URL-safe alphabet, white
 * space and missing padding are not accepted.
 */

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/** The six bits of each character, by its code; 64 for what is not in the alphabet. */
const sextets = new Uint8Array(128).fill(64)
for (let i = 0; i < 64; i++) sextets[alphabet.charCodeAt(i)] = i

/** Four characters for each three bytes, the last group padded with `=`. */
export const encode = (bytes: Uint8Array): string => {
  let text = ""
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    text += alphabet[group >>> 18]! + alphabet[(group >>> 12) & 63]!
    text += left > 1 ? alphabet[(group >>> 6) & 63]! : "="
    text += left > 2 ? alphabet[group & 63]! : "="
  }
  return text
}

/**
 * The bytes that `text` stands for, or `undefined` when it is not base64.
 *
 * Bits after the last byte may be other than zero, as RFC 4648 section 3.5 permits: the example key that RFC 6455
 * section 4.1 prints, `AQIDBAUGBwgJCgsMDQ4PEC==`, has such a bit.
 */
export const decode = (text: string): Uint8Array | undefined => {
  if (text.length % 4 !== 0) return undefined
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0
  const characters = text.length - padding
  const bytes = new Uint8Array((text.length / 4) * 3 - padding)
  let bits = 0
  let length = 0
  for (let i = 0; i < characters; i++) {
    const sextet = sextets[text.charCodeAt(i)] ?? 64
    if (sextet === 64) return undefined
    bits = (bits << 6) | sextet
    // A byte is complete after the second, third and fourth character of each group of four.
    if (i % 4 !== 0) bytes[length++] = bits >>> (6 - 2 * (i % 4))
  }
  return bytes
}
