/**
 * Names that mean something else to an object of JavaScript. They are no names of messages and no keys on the wire, so
 * that nobody who reads a message in another language, or with less care, has an object with a foreign prototype.
 */

const reserved: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"])

/** Whether it is one of them. */
export const is = (name: string): boolean => reserved.has(name)
