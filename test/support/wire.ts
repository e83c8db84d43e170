/** Bytes as the RFC prints them: `hex("81 05 48 65 6c 6c 6f")`. */
export const hex = (text: string): Uint8Array =>
  Uint8Array.from(
    text.split(" ").filter((byte) => byte !== ""),
    (byte) => Number.parseInt(byte, 16)
  )

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Cuts `bytes` at the given positions, taken modulo its length. */
export const cut = (bytes: Uint8Array, positions: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const at = [0, ...positions.map((position) => position % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return at.slice(1).map((end, i) => bytes.subarray(at[i]!, end))
}
