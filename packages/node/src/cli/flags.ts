/**
 * The flags that several commands have, and the values they are read into.
 */
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Origin from "@millrace/core/codec/Origin"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Flag from "effect/cli/Flag"

export const host = Flag.String("host").pipe(
  Flag.withDescription(
    "The address to listen on. 127.0.0.1, the default, can be reached from this machine only, :: from everywhere."
  ),
  Flag.withDefault("127.0.0.1")
)

export const port = (standard: number) =>
  Flag.String("port").pipe(
    Flag.withMetavar("number"),
    Flag.withDescription(`The port to listen on. 0 takes one that is free. Default ${standard}.`),
    Flag.withDefault(`${standard}`),
    Flag.filterMap(
      (text) => (/^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Option.some(Number(text)) : Option.none()),
      () => "a number from 0 to 65535, where 0 takes a port that is free"
    )
  )

export const workers = Flag.String("workers").pipe(
  Flag.withMetavar("number"),
  Flag.withDescription(
    "How many processes serve, on one port and as one hub: as many as there are cores, at most. Default 1."
  ),
  Flag.withDefault("1"),
  Flag.filterMap(
    (text) => (/^[1-9]\d{0,2}$/.test(text) ? Option.some(Number(text)) : Option.none()),
    () => "a number from 1 to 999"
  )
)

const units: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ["kb", 1_000],
  ["kib", 1_024],
  ["mb", 1_000_000],
  ["mib", 1_048_576],
  ["gb", 1_000_000_000],
  ["gib", 1_073_741_824]
])

/** A number of bytes, such as `65536`, `64KiB` or `1.5 MB`; `undefined` when `text` is none. At least 1. */
export const parseBytes = (text: string): number | undefined => {
  const trimmed = text.trim()
  let end = 0
  while (end < trimmed.length && "0123456789.".includes(trimmed[end]!)) end++
  const amount = end === 0 ? Number.NaN : Number(trimmed.slice(0, end))
  const unit = units.get(trimmed.slice(end).trim().toLowerCase())
  const bytes = unit === undefined ? Number.NaN : Math.floor(amount * unit)
  return bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER ? bytes : undefined
}

export const maxMessage = (standard: string) =>
  Flag.String("max-message").pipe(
    Flag.withMetavar("size"),
    Flag.withDescription(`The longest message taken, such as 65536, 64KiB or 1.5MB. Default ${standard}.`),
    Flag.withDefault(standard),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(parseBytes(text)),
      () => "a size such as 65536, 64KiB or 1.5MB"
    )
  )

const periods: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000]
])

/** A time in milliseconds, such as `500ms`, `15s` or `1.5m`; `undefined` when `text` is none. At least 1 ms. */
export const parseDuration = (text: string): number | undefined => {
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim()) ?? []
  const millis = Math.round(Number(amount) * (periods.get(unit.toLowerCase()) ?? Number.NaN))
  return millis >= 1 && millis <= Number.MAX_SAFE_INTEGER ? millis : undefined
}

/** A time, in milliseconds. */
export const duration = (name: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("duration"),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(parseDuration(text)),
      () => "a time such as 500ms, 15s or 2m"
    )
  )

const parseHeader = (text: string): Option.Option<Headers[number]> => {
  const colon = text.indexOf(":")
  return colon <= 0 ? Option.none() : Option.some([text.slice(0, colon).trim(), text.slice(colon + 1).trim()])
}

export const header = Flag.String("header").pipe(
  Flag.withAlias("H"),
  Flag.withMetavar("name: value"),
  Flag.withDescription('A header of the request, such as "Authorization: Bearer ..."; may be repeated.'),
  Flag.filterMap(parseHeader, () => 'a header, written "Name: value"'),
  Flag.atLeast(0)
)

export const allowOrigin = Flag.String("allow-origin").pipe(
  Flag.withMetavar("origin"),
  Flag.withDescription(
    "A page that may connect, such as https://example.com or https://*.example.com; may be repeated; * for every page. " +
      "Without it, the hub's own page and programs that are no browser."
  ),
  Flag.atLeast(0),
  Flag.filterMap(
    (origins) => Option.getSuccess(policyOf(origins)),
    () => "origins such as https://example.com or https://*.example.com, without a path, or * for every page"
  )
)

function policyOf(origins: ReadonlyArray<string>): Result.Result<Origin.Policy, Origin.InvalidOrigin> {
  if (origins.length === 0) return Result.succeed(Origin.sameOrigin)
  return origins.includes("*") ? Result.succeed(Origin.any) : Origin.allow(origins)
}

/** A token, of the flag or of the environment, where other users of the machine do not see it. */
export const token = (description: string, name = "token") =>
  Flag.String(name).pipe(
    Flag.withMetavar("text"),
    Flag.withDescription(`${description} Default: MILLRACE_PUBLISH_TOKEN of the environment.`),
    Flag.optional,
    Flag.map((given) =>
      Option.filter(
        Option.orElse(given, () => Option.fromUndefinedOr(process.env["MILLRACE_PUBLISH_TOKEN"])),
        (text) => text !== ""
      )
    )
  )
