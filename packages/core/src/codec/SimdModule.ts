/**
 * The WebAssembly module of `Simd`, written out instruction by instruction: four loops over the first page of its
 * memory, 16 bytes at a time. There is nothing to build and nothing opaque. Numbers are those of the WebAssembly
 * specification, version 2, chapter 5.4.
 */

/** Unsigned LEB128, in which WebAssembly writes lengths, offsets and the numbers of its vector instructions. */
const leb = (value: number): ReadonlyArray<number> =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >> 7)]

/** Where `findLineEnds` writes: behind the first page and the 16 bytes that it clears behind what it is given. */
export const tableOffset = 65_536 + 64

const section = (id: number, ...body: ReadonlyArray<number>): ReadonlyArray<number> => [
  id,
  ...leb(body.length),
  ...body
]

const code = (...body: ReadonlyArray<number>): ReadonlyArray<number> => [...leb(body.length), ...body]

const times = (count: number, entry: number): ReadonlyArray<number> => Array.from({ length: count }, () => entry)

const i32 = 0x7f
const v128 = 0x7b

/** `v128.const` with 16 lanes of a byte each. */
const lanes = (bytes: ReadonlyArray<number>): ReadonlyArray<number> => [0xfd, 0x0c, ...bytes]

const everyLane = (byte: number): ReadonlyArray<number> => lanes(times(16, byte))

/** Of two vectors behind one another, the 16 bytes that begin at `first` (`i8x16.shuffle`). */
const window = (first: number): ReadonlyArray<number> => [
  0xfd,
  0x0d,
  ...Array.from({ length: 16 }, (_, i) => first + i)
]

/** A table of 16 entries, looked up by the upper (`i8x16.shr_u` 4) or lower half of each byte (`i8x16.swizzle`). */
// prettier-ignore
const byUpper = (table: ReadonlyArray<number>, local: number): ReadonlyArray<number> => [
  ...lanes(table),
  0x20, local, 0x41, 0x04, 0xfd, 0x6d, // the byte, 4, i8x16.shr_u
  0xfd, 0x0e
]
// prettier-ignore
const byLower = (table: ReadonlyArray<number>, local: number): ReadonlyArray<number> => [
  ...lanes(table),
  0x20, local, ...everyLane(0x0f), 0xfd, 0x4e, // the byte, 15, v128.and
  0xfd, 0x0e
]

/**
 * What can be wrong with two bytes that follow each other, a bit each. The three half bytes that decide it are looked
 * up in three tables, and what all three agree on is wrong: the method of Keiser and Lemire, "Validating UTF-8 In Less
 * Than One Instruction Per Byte" (2020). `twoContinuations` is only wrong where no third or fourth byte is due.
 */
const wrong = {
  tooShort: 1, // a lead byte, and no continuation behind it
  tooLong: 2, // ASCII, and a continuation behind it
  overlong3: 4, // e0, and less than a0
  tooLarge: 8, // f4 and more than 8f, or above f4
  surrogate: 16, // ed, and more than 9f
  overlong2: 32, // c0 or c1
  tooLarge1000OrOverlong4: 64, // above f4 and less than 90, or f0 and less than 90
  twoContinuations: 128
}

const tables = (() => {
  const { overlong2, overlong3, surrogate, tooLarge, tooLarge1000OrOverlong4: edge, tooLong, tooShort } = wrong
  const { twoContinuations } = wrong
  const always = tooShort | tooLong | twoContinuations
  const large = always | tooLarge | edge
  const second = tooLong | overlong2 | twoContinuations
  return {
    // By the upper half of the first byte: 0-7 ASCII, 8-b continuation, c-f lead.
    firstUpper: times(8, tooLong).concat(times(4, twoContinuations), [
      tooShort | overlong2,
      tooShort,
      tooShort | overlong3 | surrogate,
      tooShort | tooLarge | edge
    ]),
    // By its lower half: 0 is e0, f0 or c0; 1 is c1; 4 is f4; d is ed; 5 and more are above f4.
    firstLower: [always | overlong3 | overlong2 | edge, always | overlong2, always, always, always | tooLarge].concat(
      times(8, large),
      [large | surrogate, large, large]
    ),
    // By the upper half of the second byte: 8, 9, a and b are continuations.
    secondUpper: times(8, tooShort).concat(
      [second | overlong3 | edge, second | overlong3 | tooLarge],
      times(2, second | surrogate | tooLarge),
      times(4, tooShort)
    )
  }
})()

// prettier-ignore
const instructions = {
  /** `mask(length, key)`: XORs the first `length` bytes, rounded up to 16, with the key in every lane. */
  mask: [
    0x02, 0x01, i32, 0x01, v128, // locals: 2 offset, 3 keys
    0x20, 0x01, 0xfd, 0x11, 0x21, 0x03, // keys = i32x4.splat(key)
    0x03, 0x40, // loop
      0x20, 0x02, // address of the store
      0x20, 0x02, 0xfd, 0x00, 0x04, 0x00, // v128.load(offset)
      0x20, 0x03, 0xfd, 0x51, // v128.xor(_, keys)
      0xfd, 0x0b, 0x04, 0x00, // v128.store
      0x20, 0x02, 0x41, 0x10, 0x6a, 0x22, 0x02, // offset += 16
      0x20, 0x00, 0x48, 0x0d, 0x00, // again while offset < length
    0x0b, // end of loop
    0x0b // end of function
  ],
  /** `highBits(length)`: not zero when one of the first `length` bytes, rounded up to 16, has its high bit set. */
  highBits: [
    0x02, 0x01, i32, 0x01, v128, // locals: 1 offset, 2 seen
    0x03, 0x40, // loop
      0x20, 0x02, 0x20, 0x01, 0xfd, 0x00, 0x04, 0x00, // seen, v128.load(offset)
      0xfd, 0x50, 0x21, 0x02, // seen = v128.or
      0x20, 0x01, 0x41, 0x10, 0x6a, 0x22, 0x01, // offset += 16
      0x20, 0x00, 0x48, 0x0d, 0x00, // again while offset < length
    0x0b, // end of loop
    0x20, 0x02, 0xfd, 0x64, // i8x16.bitmask(seen)
    0x0b // end of function
  ],
  /** `notUtf8(length)`: not zero when the first `length` bytes, rounded up to 16, are no UTF-8, but for their end. */
  notUtf8: [
    0x02, 0x01, i32, 0x04, v128, // locals: 1 offset, 2 bytes, 3 the 16 bytes before them, 4 errors, 5 shifted by one
    0x03, 0x40, // loop
      0x20, 0x01, 0xfd, 0x00, 0x04, 0x00, 0x21, 0x02, // bytes = v128.load(offset)
      0x20, 0x03, 0x20, 0x02, ...window(15), 0x21, 0x05, // for each byte the one before it
      ...byUpper(tables.firstUpper, 5),
      ...byLower(tables.firstLower, 5), 0xfd, 0x4e, // v128.and
      ...byUpper(tables.secondUpper, 2), 0xfd, 0x4e,
      // Bit 0x80 where a third or a fourth byte is due: two before is at least e0, or three before at least f0.
      0x20, 0x03, 0x20, 0x02, ...window(14), ...everyLane(0xe0 - 0x80), 0xfd, 0x73, // i8x16.sub_sat_u
      0x20, 0x03, 0x20, 0x02, ...window(13), ...everyLane(0xf0 - 0x80), 0xfd, 0x73,
      0xfd, 0x50, ...everyLane(0x80), 0xfd, 0x4e, // v128.or, v128.and
      0xfd, 0x51, // v128.xor: wrong where two continuations are not due, and where due ones are missing
      0x20, 0x04, 0xfd, 0x50, 0x21, 0x04, // errors |=
      0x20, 0x02, 0x21, 0x03, // these are the bytes before the next
      0x20, 0x01, 0x41, 0x10, 0x6a, 0x22, 0x01, // offset += 16
      0x20, 0x00, 0x48, 0x0d, 0x00, // again while offset < length
    0x0b, // end of loop
    0x20, 0x04, 0xfd, 0x53, // v128.any_true(errors)
    0x0b // end of function
  ],
  /** `findLineEnds(length)`: writes where LF and CR are in the first `length` bytes, and gives how many there are. */
  findLineEnds: [
    0x02, 0x03, i32, 0x01, v128, // locals: 1 offset, 2 bytes of the table in use, 3 found, a bit each, 4 bytes
    0x20, 0x00, ...everyLane(0), 0xfd, 0x0b, 0x00, 0x00, // v128.store(length, 0): what is behind the last ends no line
    0x03, 0x40, // loop
      0x20, 0x01, 0xfd, 0x00, 0x04, 0x00, 0x22, 0x04, // bytes = v128.load(offset)
      ...everyLane(0x0a), 0xfd, 0x23, // i8x16.eq
      0x20, 0x04, ...everyLane(0x0d), 0xfd, 0x23,
      0xfd, 0x50, 0xfd, 0x64, 0x22, 0x03, // found = i8x16.bitmask(v128.or)
      0x04, 0x40, // if there is one
        0x03, 0x40, // loop
          0x20, 0x02, 0x20, 0x01, 0x20, 0x03, 0x68, 0x6a, // address in the table, offset + i32.ctz(found)
          0x36, 0x02, ...leb(tableOffset), // i32.store, with the offset of the table
          0x20, 0x02, 0x41, 0x04, 0x6a, 0x21, 0x02, // 4 bytes further
          0x20, 0x03, 0x20, 0x03, 0x41, 0x01, 0x6b, 0x71, 0x22, 0x03, // found &= found - 1
          0x0d, 0x00, // again while there is one
        0x0b, // end of loop
      0x0b, // end of if
      0x20, 0x01, 0x41, 0x10, 0x6a, 0x22, 0x01, // offset += 16
      0x20, 0x00, 0x48, 0x0d, 0x00, // again while offset < length
    0x0b, // end of loop
    0x20, 0x02, 0x41, 0x02, 0x76, // bytes of the table >> 2
    0x0b // end of function
  ]
}

/** The magic number and version 1. */
const preamble = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

/** The module, to be compiled. */
export const bytes = (): Uint8Array<ArrayBuffer> =>
  Uint8Array.of(
    ...preamble,
    ...section(1, 2, 0x60, 2, i32, i32, 0, 0x60, 1, i32, 1, i32), // types: (i32, i32) -> (), (i32) -> i32
    ...section(3, 4, 0, 1, 1, 1), // functions and their types
    ...section(5, 1, 0, 6), // one memory of six pages: one block, and a table with room for 4 bytes for each of its bytes
    // exports: "b" the memory, "m" mask, "h" highBits, "u" notUtf8, "l" findLineEnds
    ...section(7, 5, 1, 0x62, 2, 0, 1, 0x6d, 0, 0, 1, 0x68, 0, 1, 1, 0x75, 0, 2, 1, 0x6c, 0, 3),
    ...section(
      10,
      4,
      ...code(...instructions.mask),
      ...code(...instructions.highBits),
      ...code(...instructions.notUtf8),
      ...code(...instructions.findLineEnds)
    )
  )

/** The two loops. They work in place, and keep nothing of what they are given. */
