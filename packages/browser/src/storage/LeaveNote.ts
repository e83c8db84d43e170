/**
 * What a page leaves behind when it goes, in `localStorage`, which is written in the very call: a transaction of a database
 * that begins then may be given up with its page. None in workers, and where it may not be used: then there is no note.
 */
export class LeaveNote {
  private readonly key: string

  constructor(key: string) {
    this.key = key
  }

  /** Anybody of this origin can write there. */
  read(): unknown {
    try {
      return JSON.parse(localStorage.getItem(this.key) ?? "null")
    } catch {
      return null
    }
  }

  write(value: unknown): void {
    try {
      localStorage.setItem(this.key, JSON.stringify(value))
    } catch {
      // There is none, or no room.
    }
  }

  clear(): void {
    try {
      localStorage.removeItem(this.key)
    } catch {
      // There is none.
    }
  }
}
