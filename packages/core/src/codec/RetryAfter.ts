/**
 * The `Retry-After` field, RFC 9110 section 10.2.3: how long a server asks its client to stay away.
 */
import * as HttpHeaders from "./HttpHeaders.ts"

const days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
const longDays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

const month = `(${months.join("|")})`
const time = "(\\d\\d):(\\d\\d):(\\d\\d)"

// RFC 9110 section 5.6.7: what is sent today, and two forms of old that a recipient has to understand.
const imfFixdate = new RegExp(`^(?:${days.join("|")}), (\\d\\d) ${month} (\\d{4}) ${time} GMT$`)
const rfc850 = new RegExp(`^(?:${longDays.join("|")}), (\\d\\d)-${month}-(\\d\\d) ${time} GMT$`)
const asctime = new RegExp(`^(?:${days.join("|")}) ${month} ([ \\d]\\d) ${time} (\\d{4})$`)

/** Milliseconds since 1970, or `undefined` when there is no such day or time. A leap second is the next second. */
const utc = (year: string, monthName: string, day: string, clock: ReadonlyArray<string>): number | undefined => {
  const [hours, minutes, seconds] = clock.map(Number)
  const midnight = Date.UTC(Number(year), months.indexOf(monthName), Number(day))
  // A day that there is not would be another one of the next month.
  if (new Date(midnight).getUTCDate() !== Number(day)) return undefined
  if (hours! > 23 || minutes! > 59 || seconds! > 60) return undefined
  return midnight + ((hours! * 60 + minutes!) * 60 + seconds!) * 1000
}

/** A year of two digits is the latest that is not more than 50 years ahead. Section 5.6.7. */
const wholeYear = (digits: string, now: number): string => {
  const thisYear = new Date(now).getUTCFullYear()
  const year = Math.floor(thisYear / 100) * 100 + Number(digits)
  return String(year > thisYear + 50 ? year - 100 : year <= thisYear - 50 ? year + 100 : year)
}

const dateOf = (value: string, now: number): number | undefined => {
  const fixed = imfFixdate.exec(value)
  if (fixed !== null) return utc(fixed[3]!, fixed[2]!, fixed[1]!, fixed.slice(4))
  const old = rfc850.exec(value)
  if (old !== null) return utc(wholeYear(old[3]!, now), old[2]!, old[1]!, old.slice(4))
  const older = asctime.exec(value)
  return older === null ? undefined : utc(older[6]!, older[1]!, older[2]!, older.slice(3, 6))
}

/**
 * For how many milliseconds from `now` (itself in milliseconds since 1970) the server asks to be left alone, or
 * `undefined` when it does not ask, or not in a form of the RFC. Never negative: a time that is past is 0. Not bounded:
 * a number of seconds with many digits may be infinite.
 */
export const read = (headers: HttpHeaders.Headers, now: number): number | undefined => {
  const value = HttpHeaders.values(headers, "Retry-After").at(-1)
  if (value === undefined) return undefined
  if (HttpHeaders.isDigits(value)) return Number(value) * 1000
  const date = dateOf(value, now)
  return date === undefined ? undefined : Math.max(0, date - now)
}
